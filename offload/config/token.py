"""`[worker.token]`: where a worker's keys live, a directory or an HSM."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, Tag, model_validator

from offload.config.model import File, Model, Name, Seconds, kind_or


class SoftwareTokenSettings(Model):
    """Keys in a directory, and the file that holds the passphrase to them."""

    kind: Literal["software"] = "software"
    directory: File
    passphrase_file: File


def _module(value: str) -> str:
    if not value or ("/" in value and not value.startswith("/")):
        raise ValueError(
            f"{value!r} names no module; write its absolute path, or a name that the dynamic"
            " linker finds"
        )
    return value


class Pkcs11TokenSettings(Model):
    """Keys in an HSM behind a PKCS#11 module.

    The token is the one with `token_label` and `serial`, of which one is enough; its PIN is the
    first line of `pin_file`, and without that of the systemd credential `pin_credential`.
    sessions: of each process; deadline: seconds that a signature waits for the HSM.
    """

    kind: Literal["pkcs11"]
    module: Annotated[str, AfterValidator(_module)] = "libp11-kit.so.0"
    token_label: Annotated[str, Field(min_length=1, max_length=32)] | None = None
    serial: Annotated[str, Field(min_length=1, max_length=16)] | None = None
    pin_file: File | None = None
    pin_credential: Name = "offload-pin"
    sessions: int = Field(default=4, ge=1, le=256)
    deadline: Seconds = 10.0

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.token_label is None and self.serial is None:
            raise ValueError("names no token; add 'token_label' or 'serial'")
        return self


TokenSettings = Annotated[
    Annotated[SoftwareTokenSettings, Tag("software")]
    | Annotated[Pkcs11TokenSettings, Tag("pkcs11")],
    kind_or("software"),
]
