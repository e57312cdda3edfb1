"""Some hundreds of absurd inputs; ``python -m tests.reliability.fuzz`` tries thousands."""

from pathlib import Path

import pytest

from tests.reliability.fuzz import KINDS, Place, fuzz


@pytest.mark.parametrize("kind", KINDS)
def test_any_input_is_accepted_or_refused_in_a_few_lines_and_nothing_is_written(kind: str, tmp_path: Path) -> None:
    outcomes = fuzz(kind, 25 if kind == "trainings" else 100, Place(tmp_path / "place"))
    assert outcomes["accepted"] > 0
    assert outcomes["refused"] > 0
