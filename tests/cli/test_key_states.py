from support.commands import Commands


def test_a_life_from_creation_to_erasure(embedded: Commands) -> None:
    (made,) = embedded("key", "create", "www", "--activate-at", "2100-01-01T00:00Z")
    assert made.startswith("created p-256 key 'www@1', pre-active, on 1 of 1 workers, id ")
    assert "activated p-256 key 'www@1', active" in embedded("key", "activate", "www")[0]
    assert "suspended p-256 key 'www@1', suspended" in embedded("key", "suspend", "www")[0]
    assert "resumed p-256 key 'www@1', active" in embedded("key", "resume", "www")[0]
    _, until = embedded("key", "destroy", "www", "--wait-seconds", 3600)
    assert until.endswith("until then 'offload key keep www' helps")
    assert embedded.json("key", "show", "www")["state"] == "suspended"
    assert "kept p-256 key 'www@1', suspended" in embedded("key", "keep", "www")[0]
    (erased,) = embedded("key", "destroy", "www", "--wait-seconds", 0)
    assert erased.startswith("destroyed p-256 key 'www@1', destroyed, on 0 of 1 workers")
    (copy,) = embedded.json("key", "show", "www")["copies"]
    assert (copy["member"], copy["state"]) == ("worker-1", "erased")


def test_what_ends_a_key(embedded: Commands) -> None:
    embedded("key", "create", "old")
    assert embedded.json("key", "deactivate", "old")["state"] == "deactivated"
    embedded("key", "create", "stolen")
    view = embedded.json("key", "compromise", "stolen", "--reason", "laptop lost")
    assert view["state"] == "compromised"
    errors = embedded.refused("key", "resume", "old")
    assert errors.startswith("offload: error: ")
    assert "offload: hint: see what state it is in" in errors


def test_no_such_key(embedded: Commands) -> None:
    assert embedded.refused("key", "suspend", "none").startswith(
        "offload: error: there is no key 'none': see the list of keys\n"
    )
