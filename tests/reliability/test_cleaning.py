"""A short form of ``python -m tests.reliability.cleaning``."""

from pathlib import Path

import pytest

from tests.reliability import cleaning


def test_cleaning_beside_commands_takes_nothing_from_them(tmp_path: Path) -> None:
    tally = cleaning.torture(4, tmp_path, ["levels", "train"])
    assert tally.wrong == []
    assert tally.cleans >= 4


def test_what_a_command_has_lost_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cleaning.computed
    monkeypatch.setattr(cleaning, "computed", lambda root: dict(list(whole(root).items())[:-1]))
    tally = cleaning.torture(1, tmp_path, ["train"])
    assert "differs" in tally.wrong[0]
