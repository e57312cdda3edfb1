"""The same bits, in whatever order commands are given."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.conftest import TINY, computed

COMMANDS = {
    "train": ["train"],
    "levels": ["lottery", "--levels=0-1", "--k=1", "--density=0.5"],
    "early": ["lottery", "--k=7it", "--density=0.5", "--pruning_strategy=magnitude"],
    "branch": ["lottery_branch", "shuffle", "--k=1", "--density=0.5"],
    "stability": ["stability", "--k=1", "--density=0.5", "--alphas=3", "--report=false"],
}


def bits(command: Callable[..., Any], root: Path, order: Sequence[str]) -> dict[str, bytes]:
    for name in order:
        argv = COMMANDS[name]
        assert command(*argv, *TINY, f"--root={root}", "--quiet").code == 0
    return computed(root)


@pytest.fixture(scope="module")
def orders() -> list[list[str]]:
    """Each command comes first once, and last once."""
    names = list(COMMANDS)
    return [names[place:] + names[:place] for place in range(len(names))]


def test_the_order_of_commands_changes_no_bit(
    orders: list[list[str]], command: Callable[..., Any], tmp_path: Path
) -> None:
    first, *others = (bits(command, tmp_path / str(number), order) for number, order in enumerate(orders))
    assert any(name.endswith("child_2/model_3ep0it.safetensors") for name in first)
    for found in others:
        assert found.keys() == first.keys()
        assert [name for name in first if found[name] != first[name]] == []
