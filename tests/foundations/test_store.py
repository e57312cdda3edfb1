import errno
import math
import multiprocessing
import os
import re
import socket
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from foundations.disk import atomic_write
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.store import Store


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.txt"
    target.write_text("old")

    def write() -> None:
        with atomic_write(target) as path:
            path.write_text("half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.txt"]


def test_files_have_the_rights_that_the_process_gives_without_its_umask_being_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The umask belongs to the process: a thread that changes it for a moment changes the files of all others."""
    before = os.umask(0o027)
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("another thread may write a file just now"))
    try:
        Store(tmp_path).write_json("a.json", {})
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


def test_round_trips(tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    store.write_json("a.json", {"x": [1, 2.5, None]})
    store.write_rows("rows.jsonl", [{"step": 1}, {"step": 2}])
    tensors = {"w": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)}
    store.write_tensors("w.safetensors", tensors)
    store.write_state("state.safetensors", {"step": 3, "w": tensors["w"]})
    assert store.read_json("a.json") == {"x": [1, 2.5, None]}
    assert store.read_rows("rows.jsonl") == [{"step": 1}, {"step": 2}]
    assert torch.equal(store.read_tensors("w.safetensors")["w"], tensors["w"])
    assert torch.equal(store.read_state("state.safetensors")["w"], tensors["w"])


def test_what_json_cannot_hold_becomes_null(tmp_path: Path) -> None:
    Store(tmp_path).write_json("a.json", {"loss": math.nan, "worst": [math.inf, 1.0]})
    assert Store(tmp_path).read_json("a.json") == {"loss": None, "worst": [None, 1.0]}


def test_equal_tensors_are_written_as_equal_bytes(tmp_path: Path) -> None:
    store, tensors = Store(tmp_path), {"b": torch.ones(3), "a": torch.zeros(2)}
    store.write_tensors("1", tensors)
    store.write_tensors("2", dict(reversed(tensors.items())))
    assert (store / "1").read_bytes() == (store / "2").read_bytes()


def test_values_beside_tensors_share_one_metadata_entry(tmp_path: Path) -> None:
    store, tensors = Store(tmp_path), {"a": torch.ones(2)}
    store.write_tensors("w.safetensors", tensors, {"order": ["a"], "more": 1.5})
    assert store.read_tensors_about("w.safetensors")[1] == {"order": ["a"], "more": 1.5}
    with safe_open(store / "w.safetensors", "pt") as file:
        assert len(file.metadata()) == 1


def test_tied_weights_are_written_under_both_names(tmp_path: Path) -> None:
    weight = torch.randn(2, 3)
    Store(tmp_path).write_tensors("w.safetensors", {"in": weight, "out": weight, "row": weight[1]})
    read = Store(tmp_path).read_tensors("w.safetensors")
    assert torch.equal(read["in"], weight)
    assert torch.equal(read["out"], weight)
    assert torch.equal(read["row"], weight[1])


def test_bytes_that_are_there_already_are_not_written_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "report")
    assert store.write_bytes("a.svg", b"drawing")
    before = (store / "a.svg").stat().st_mtime_ns
    assert not store.write_bytes("a.svg", b"drawing")
    store.write_table("a.csv", ["x"], [[1]])
    table_before = (store / "a.csv").stat().st_mtime_ns
    store.write_table("a.csv", ["x"], [[1]])
    assert [(store / name).stat().st_mtime_ns for name in ("a.svg", "a.csv")] == [before, table_before]
    assert store.write_bytes("a.svg", b"another")
    assert store.read_bytes("a.svg") == b"another"


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.csv", Store.read_table),
        ("a.json", Store.read_json),
        ("a.jsonl", Store.read_rows),
        ("state.safetensors", Store.read_state),
        ("a.safetensors", Store.read_tensors),
    ],
)
@pytest.mark.parametrize("content", [b"torn", b"}torn", b"PK\x03\x04torn"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: bytes, name: str, read: object) -> None:
    end = b"\n" if name == "a.jsonl" else b""  # a last line without its end is one whose writer was killed
    (tmp_path / name).write_bytes(content + end)
    with pytest.raises(UsageError, match=rf"{name} is damaged .*\n.*run the same command again"):
        read(Store(tmp_path), name)  # type: ignore[operator]


def test_rows_that_are_appended_are_as_if_written_at_once(tmp_path: Path) -> None:
    store, rows = Store(tmp_path / "run"), [{"step": 1}, {"step": 2, "loss": math.nan}, {"step": 3}]
    store.append_rows("a.jsonl", rows[:1])
    store.append_rows("a.jsonl", rows[1:])
    store.write_rows("b.jsonl", rows)
    assert store.read_bytes("a.jsonl") == store.read_bytes("b.jsonl")


def test_a_torn_last_line_is_dropped_and_a_torn_line_before_is_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_rows("a.jsonl", [{"step": 1}, {"step": 2}])
    whole = store.read_bytes("a.jsonl")
    for length in range(len(whole) // 2, len(whole)):
        (tmp_path / "a.jsonl").write_bytes(whole[:length])
        assert store.read_rows("a.jsonl") == [{"step": 1}]
        store.append_rows("a.jsonl", [{"step": 2}])
        assert store.read_bytes("a.jsonl") == whole
    (tmp_path / "a.jsonl").write_bytes(whole[:5] + b"\n" + whole)
    with pytest.raises(UsageError, match=r"a.jsonl is damaged .*\n.*run the same command again"):
        store.read_rows("a.jsonl")


def test_done_comes_with_the_result(tmp_path: Path) -> None:
    store = Store(tmp_path / "run")
    assert not store.done
    store.finish({"test_accuracy": 0.9})
    assert store.done
    assert store.result() == {"test_accuracy": 0.9}


def hold(path: Path, held: "multiprocessing.synchronize.Event") -> None:
    sys.argv = ["main.py", "train", "--plugin=my method.py"]
    with Store(path).lock(Reporter()):
        held.set()
        time.sleep(0.5)


class Listener(Reporter):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def say(self, text: str) -> None:
        self.heard.append(text)


def test_a_second_process_waits_and_says_so(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    held, listener = spawn.Event(), Listener()
    other = spawn.Process(target=hold, args=(tmp_path, held))
    other.start()
    held.wait()
    with Store(tmp_path).lock(listener):
        pass
    other.join()
    who = f"pid {other.pid} on {socket.gethostname()}, main.py train '--plugin=my method.py'"
    assert listener.heard == [f"Waiting for another process that works in {tmp_path}: {who}"]
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_what_killed_writers_have_left_is_swept_by_who_holds_the_directory(tmp_path: Path) -> None:
    store, temporary = Store(tmp_path / "run"), ".checkpoint.safetensors.abcd_123"
    others = (".notes", ".checkpoint.safetensors", "mask.safetensors.abcd_123", ".eslintrc.json.20251201")
    for part in (store, store.sub("shuffle_12"), store.sub("level_1"), store.sub("report"), store.sub("b.aside_1")):
        for name in (temporary, *others):
            part.write_bytes(name, b"")
    store.write_bytes("level_1/.lock", b"")  # another process may be writing there
    with store.lock(Reporter()):
        assert not store.has(temporary)
    left = {str(path.parent.relative_to(store.path)) for path in store.path.rglob(temporary)}
    assert left == {"level_1", "report", "b.aside_1"}
    assert all(store.has(name) and store.sub("shuffle_12").has(name) for name in others)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO, errno.EOPNOTSUPP])
def test_a_lock_that_cannot_be_had_is_named(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))  # as flock(2) does it, without a name

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as caught, Store(tmp_path).lock(Reporter()):
        pass
    assert caught.value.filename == str(tmp_path / ".lock")


def test_a_directory_put_aside_keeps_all_and_frees_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path / "replicate_1")
    for number in (1, 2):
        store.write_bytes("result", b"%d" % number)
        assert store.put_aside() == tmp_path / f"replicate_1.aside_{number}"
        assert not store.path.exists()
    assert [(tmp_path / f"replicate_1.aside_{number}" / "result").read_bytes() for number in (1, 2)] == [b"1", b"2"]
    store.write_bytes("result", b"3")
    with store.lock(Reporter()):
        pass  # the name's lock is free


def test_a_directory_in_which_another_process_works_is_not_put_aside(tmp_path: Path) -> None:
    store = Store(tmp_path / "replicate_1")
    with store.lock(Reporter()), pytest.raises(UsageError, match="another process works in it"):
        store.put_aside()
    assert store.path.is_dir()
