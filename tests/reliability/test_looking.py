"""A short form of ``python -m tests.reliability.looking``."""

from pathlib import Path

import pytest

from tests.reliability import looking

SHORT = {"half_train": 31, "half_levels": 97, "measured_stability": 97, "imported": 97}
"""Of each scenario every n-th pair of a file and a damage."""


@pytest.mark.parametrize("name", SHORT)
def test_no_damage_is_silent(name: str, tmp_path: Path) -> None:
    tally = looking.torture(name, tmp_path, SHORT[name], first=7)
    assert tally.silent == []
    assert tally.damages >= 3


def test_what_is_silent_is_found_and_what_is_on_record_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "record"
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(looking, "check", lambda run: [])
    tally = looking.torture("train", tmp_path / "first", every=60, first=7, record=record)
    assert {one.partition(":")[0] for one in tally.silent} == {"verify"}
    monkeypatch.setattr(looking, "look", lambda *_: pytest.fail("done again"))
    assert looking.torture("train", tmp_path / "again", every=60, first=7, record=record) == tally


def test_a_damaged_import_is_imported_again(tmp_path: Path) -> None:
    whole = looking.prepare("half_imported", tmp_path)
    [name] = [one for one in looking.names_of(whole.root) if one.startswith("import_") and one.endswith("done.json")]
    assert looking.look(whole, name, "{}", whole.root).silent == []
