"""Files that say the number of their format: what is written, and what is read of older and newer programs."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundations.errors import UsageError
from foundations.store import Store


def test_each_kind_of_file_says_its_format_and_reads_without_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_json("done.json", {"loss": 0.5})
    store.write_rows("lines.jsonl", [{"step": 1}, {"step": 2}])
    store.write_table("interpolation.csv", ["alpha", "loss"], [[0, None], [0.5, 1.25]])
    store.write_table("table_of_a_report.csv", ["alpha"], [[0]])
    assert json.loads((store / "done.json").read_text())["format"] == 2
    assert [json.loads(line)["format"] for line in (store / "lines.jsonl").open()] == [2, 2]
    table = (store / "interpolation.csv").read_text()
    assert re.fullmatch(r"alpha,loss,format,sha256\n0,,2,\w{16}\n0.5,1.25,2,\w{16}\n", table)
    assert (store / "table_of_a_report.csv").read_text() == "alpha,format\n0,1\n"
    assert store.read_json("done.json") == {"loss": 0.5}
    assert store.read_rows("lines.jsonl") == [{"step": 1}, {"step": 2}]
    assert store.read_table("interpolation.csv") == [{"alpha": "0", "loss": ""}, {"alpha": "0.5", "loss": "1.25"}]


@pytest.mark.parametrize("number", ["", '"format": 1, '])
def test_what_was_written_before_format_2_is_not_read(number: str, tmp_path: Path) -> None:
    (tmp_path / "done.json").write_text(f'{{{number}"loss": 0.5}}')
    with pytest.raises(UsageError, match=r"its format is (None|1); this program reads format 2"):
        Store(tmp_path).read_json("done.json")
    (tmp_path / "interpolation.csv").write_text("alpha,loss\n0,1.5\n")
    with pytest.raises(UsageError, match="damaged"):
        Store(tmp_path).read_table("interpolation.csv")


NEWER = [
    ("done.json", '{"format": 7, "loss": 0.5}', Store.read_json),
    ("lines.jsonl", '{"format": 7, "step": 2}\n', Store.read_rows),
    ("interpolation.csv", "alpha,format\n0,7\n", Store.read_table),
    ("table_of_a_report.csv", "alpha,format\n0,7\n", Store.read_table),
]


@pytest.mark.parametrize(("name", "text", "read"), NEWER)
def test_a_newer_program_s_file_is_refused_by_name_in_one_line(
    name: str, text: str, read: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as refused:
        read(Store(tmp_path), name)
    assert str(refused.value) == (
        f"{tmp_path / name} was written by a newer version of this program "
        f"(format 7; this one reads up to {1 if name.startswith('table') else 2})"
    )


@pytest.mark.parametrize("number", ['"new"', "-1", "1.5", "null"])
def test_what_is_no_number_of_a_format_is_refused(number: str, tmp_path: Path) -> None:
    (tmp_path / "done.json").write_text(f'{{"format": {number}}}')
    with pytest.raises(UsageError, match=r"done.json is damaged .its format is .*; this program reads format 2"):
        Store(tmp_path).read_json("done.json")


def test_the_name_of_the_number_is_not_free(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("format", "of", "sha256", "files"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            store.write_json("done.json", {name: "svg"})
    with pytest.raises(ValueError, match="'format'"):
        store.write_rows("lines.jsonl", [{"format": "svg"}])
    with pytest.raises(ValueError, match="'format'"):
        store.write_table("a.csv", ["format"], [])


def test_a_table_keeps_texts_with_commas_quotes_and_lines(tmp_path: Path) -> None:
    texts = ["a,b", 'say "a"', "two\nlines", ""]
    Store(tmp_path).write_table("a.csv", ["text", "number"], [[text, 0.1] for text in texts])
    assert Store(tmp_path).read_table("a.csv") == [{"text": text, "number": "0.1"} for text in texts]


@pytest.mark.parametrize("line", ["1", "1,2,3"])
def test_a_line_that_does_not_fit_the_columns_is_damage(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"x,y\n{line}\n")
    with pytest.raises(UsageError, match="damaged"):
        Store(tmp_path).read_table("a.csv")


def test_a_table_that_ends_within_a_line_is_damage(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4")
    with pytest.raises(UsageError, match="its last line is not whole"):
        Store(tmp_path).read_table("a.csv")
