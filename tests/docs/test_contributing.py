"""What CONTRIBUTING.md says of the house is so."""

import re
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
TEXT = (HOME / "CONTRIBUTING.md").read_text()
NAMED = re.findall(r"`([a-z_/]+(?:/|\.py))`", TEXT) + re.findall(r"^    ([a-z_/]+\.py) ", TEXT, flags=re.MULTILINE)


@pytest.mark.parametrize("name", sorted({*NAMED} - {"__init__.py"}))
def test_every_place_that_is_named_is_there(name: str) -> None:
    assert (HOME / name).exists()


def test_the_tree_has_every_room() -> None:
    rooms = {path.parent.name for path in HOME.glob("*/__init__.py")} - {"tests", "benchmarks"}
    rooms |= {path.parent.name for path in HOME.glob("experiments/*/__init__.py")}
    assert {room for room in rooms if not re.search(rf"\b{room}/", TEXT)} == set()
