from offload.cluster.joining import authorization, secret_of


def test_the_secret_goes_in_a_header() -> None:
    assert secret_of(authorization("s3cret")) == "s3cret"
    assert secret_of("invitation  s3cret ") == "s3cret"


def test_other_headers_have_none() -> None:
    for header in ("", "Bearer s3cret", "s3cret", "Invitation"):
        assert secret_of(header) == ""
