"""Checksums in JSON, JSON lines and CSV, and whose file it is."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundations import files
from foundations.errors import UsageError
from foundations.store import Store

RUN = Path("lottery_0123456789ab/replicate_1/level_1")

WRITERS: dict[str, tuple[Callable[[Store, str], None], Callable[[Store, str], Any]]] = {
    "sparsity.json": (lambda store, name: store.write_json(name, {"x": 1.5, "y": ["a", None]}), Store.read_json),
    "rows.jsonl": (lambda store, name: store.write_rows(name, [{"x": 1}, {"x": 0.25}]), Store.read_rows),
    "interpolation.csv": (
        lambda store, name: store.write_table(name, ["alpha", "split"], [[0.5, "test"], [1.0, "train"]]),
        Store.read_table,
    ),
}


@pytest.fixture(params=WRITERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_flipped_bit_is_noticed(name: str, tmp_path: Path) -> None:
    store, (write, read) = Store(tmp_path / RUN), WRITERS[name]
    write(store, name)
    whole, value = store.read_bytes(name), read(store, name)
    for place in range(len(whole)):
        for bit in range(8):
            content = bytearray(whole)
            content[place] ^= 1 << bit
            (store / name).write_bytes(content)
            try:
                found = read(store, name)
            except UsageError:
                continue
            # 1e5 became 1E5, the same number; or the last line has lost its end, as when its writer was killed.
            assert found == value or (name == "rows.jsonl" and content[-1:] != b"\n" and found == value[:-1])


def test_another_s_file_is_refused_with_whose_it_is(name: str, tmp_path: Path) -> None:
    (write, read), store = WRITERS[name], Store(tmp_path / RUN)
    other = Store(tmp_path / str(RUN).replace("replicate_1", "replicate_2"))
    write(other, name)
    (tmp_path / RUN).mkdir(parents=True)
    (store / name).write_bytes(other.read_bytes(name))
    whose = r"it belongs to lottery_0123456789ab/replicate_2|.*another run"
    with pytest.raises(UsageError, match=rf"{name} is damaged \(({whose})"):
        read(store, name)


def test_a_moved_root_and_what_was_put_aside_are_still_the_run_s(name: str, tmp_path: Path) -> None:
    (write, read), store = WRITERS[name], Store(tmp_path / "here" / RUN)
    write(store, name)
    value = read(store, name)
    (tmp_path / "here").rename(tmp_path / "there")
    assert read(Store(tmp_path / "there" / RUN), name) == value
    aside = Store((tmp_path / "there" / RUN).parent).put_aside()
    assert read(Store(aside / "level_1"), name) == value


@pytest.mark.parametrize(
    ("path", "identity"),
    [
        ("/a/train_0123456789ab/replicate_2/done.json", "train_0123456789ab/replicate_2/done.json"),
        ("train_0123456789ab/replicate_2.aside_1/done.json", "train_0123456789ab/replicate_2/done.json"),
        ("train_0123456789ab/replicate_1/environment.json.copy", "train_0123456789ab/replicate_1/environment.json"),
        ("/train_0123456789ab/replicate_3/lottery_abcdef012345/replicate_1/a", "lottery_abcdef012345/replicate_1/a"),
        ("/somewhere/mask.safetensors", None),
        ("replicate_1/mask.safetensors", None),
    ],
)
def test_whose_a_file_is(path: str, identity: str | None) -> None:
    assert files.identity(Path(path)) == identity


def test_done_means_that_what_the_marker_lists_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path / RUN)
    store.write_json("a.json", {"x": 1})
    store.write_bytes("growing", b"1")
    store.finish({"loss": 1.0, **TRAINED}, "a.json", growing=["growing"])
    assert store.done
    assert store.result() == {"loss": 1.0, **TRAINED}
    assert re.fullmatch(r"\w{64}", store.parts("done.json")["a.json"] or "")
    store.write_bytes("growing", b"12")
    assert store.done
    (store / "a.json").unlink()
    assert not store.done


TRAINED = {"step": "1ep0it", "test_loss": 1.0, "test_accuracy": 0.5, "train_loss": 1.0, "train_accuracy": 0.5}


@pytest.mark.parametrize("wrong", ['{"step": 3}', "{}", "[]", "null", '{"loss": NaN}', '{"loss": 1e999}', "[" * 9999])
def test_readable_nonsense_is_damage(wrong: str, tmp_path: Path) -> None:
    (tmp_path / RUN).mkdir(parents=True)
    (tmp_path / RUN / "done.json").write_text(wrong)
    with pytest.raises(UsageError, match=r"done.json is damaged .*\nDelete this file"):
        Store(tmp_path / RUN).result()


def test_a_huge_loss_is_a_loss(tmp_path: Path) -> None:
    store = Store(tmp_path / RUN)
    store.write_json("done.json", {**TRAINED, "test_loss": 1e300, "train_loss": None})
    assert store.result()["test_loss"] == 1e300


@pytest.mark.parametrize(
    ("entry", "value"),
    [("test_accuracy", 1.5), ("test_accuracy", None), ("test_loss", 10**40), ("step", "last"), ("model", "../../x")],
)
def test_an_entry_of_a_result_that_cannot_be_is_named(entry: str, value: object, tmp_path: Path) -> None:
    store = Store(tmp_path / RUN)
    store.write_json("done.json", {**TRAINED, entry: value})
    with pytest.raises(UsageError, match=f"its entry '{entry}' is "):
        store.result()
