from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Tag, ValidationError

from offload.config.model import File, Model, Name, Zone, kind_or, refuse_repeats


class Cat(Model):
    kind: Literal["cat"] = "cat"
    name: Name = "tom"


class Dog(Model):
    kind: Literal["dog"]


class Home(Model):
    pet: Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], kind_or("cat")]
    deed: File = Path("deed")
    zone: Zone = ""


def test_a_table_without_a_kind_is_of_the_usual_one() -> None:
    assert Home.model_validate({"pet": {"name": "tim"}}).pet == Cat(name="tim")
    assert Home.model_validate({"pet": {"kind": "dog"}}).pet == Dog(kind="dog")
    home = Home(pet=Dog(kind="dog"))
    assert Home.model_validate(home.model_dump()) == home


@pytest.mark.parametrize("pet", [{"kind": "fish"}, {"kind": "dog", "name": "rex"}, "cat"])
def test_other_tables_are_refused(pet: object) -> None:
    with pytest.raises(ValidationError):
        Home.model_validate({"pet": pet})


def test_a_zone_may_be_nothing_and_a_name_not() -> None:
    assert Home.model_validate({"pet": {}, "zone": "a"}).zone == "a"
    assert Home.model_validate({"pet": {}, "zone": ""}).zone == ""
    with pytest.raises(ValidationError, match="is not a name"):
        Home.model_validate({"pet": {"name": ""}})


def test_a_path_is_relative_to_the_context_s_base() -> None:
    made = Home.model_validate({"pet": {}, "deed": "../deed"}, context={"base": Path("/a/b")})
    assert made.deed == Path("/a/deed")


def test_repeats_are_refused() -> None:
    refuse_repeats(["a", "b"], "letter")
    with pytest.raises(ValueError, match="letter 'a' stands twice; remove one"):
        refuse_repeats(["a", "b", "a"], "letter")
