"""A short form of ``python -m tests.reliability.torture``."""

from pathlib import Path

import pytest

from tests.reliability.killing import run
from tests.reliability.torture import SCENARIOS, differences, torture, undisturbed

SHORT = {"train": 40, "levels": 130, "compact": 150, "branch_retrain": 90, "branch_stability": 120, "stability": 300}
"""Of each scenario every n-th event."""


@pytest.mark.parametrize("name", SHORT)
def test_kills_lose_nothing(name: str, tmp_path: Path) -> None:
    tally = torture(name, tmp_path, SHORT[name], first=SHORT[name] // 2)
    assert tally.wrong == []
    assert tally.kills >= tally.sequences >= 1


def test_what_is_lost_is_found(tmp_path: Path) -> None:
    """A run that was killed and not gone on with, and one whose metrics have a line twice."""
    argv = SCENARIOS["train"].argv
    expected = undisturbed([argv], tmp_path / "undisturbed")
    root = tmp_path / "killed"
    assert run([*argv, f"--root={root}"], tmp_path / "log", at=60).killed
    assert "differ: " in differences(root, expected)
    assert run([*argv, f"--root={root}"], tmp_path / "log").code == 0
    assert differences(root, expected) == ""
    (metrics,) = root.rglob("metrics.jsonl")
    metrics.write_bytes(metrics.read_bytes() + metrics.read_bytes().splitlines(keepends=True)[-1])
    assert "metrics.jsonl" in differences(root, expected)
    (metrics.parent / ".metrics.jsonl.abcd1234").touch()
    assert "left over: " in differences(root, expected)
