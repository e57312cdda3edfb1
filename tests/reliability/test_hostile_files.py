"""Files that were made to do harm: no reader runs what is in them, fills the memory, or ends in a traceback."""

import io
import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from cli import main
from foundations.errors import UsageError
from foundations.store import Store
from pruning import Mask
from tests.reliability.conftest import TINY, computed
from training.data.image_folder import read_cache
from training.imported import read_checkpoint

Command = Callable[..., Any]


class Attack:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "run")


def pickled(target: Path) -> bytes:
    return pickle.dumps({"model": Attack(target)})


def saved(target: Path) -> bytes:
    """The same as PyTorch writes it."""
    content = io.BytesIO()
    torch.save({"model": Attack(target)}, content)
    return content.getvalue()


def blank_header(target: Path) -> bytes:
    """A header of 20 MB that says nothing."""
    return struct.pack("<Q", 20_000_000) + b"{}" + b" " * (20_000_000 - 2)


def endless_header(target: Path) -> bytes:
    """A header that claims a tebibyte."""
    return struct.pack("<Q", 2**40) + b"{}"


def safetensors(header: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def endless_tensor(target: Path) -> bytes:
    """A tensor that claims a tebibyte."""
    return safetensors({"w": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}})


def unknown_type(target: Path) -> bytes:
    """Four-bit numbers, which the format has and PyTorch has not."""
    return safetensors({"w": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, b"\0")


def compressed(target: Path) -> bytes:
    """32 MiB of zeros in a file of some kilobytes."""
    plain, packed = io.BytesIO(), io.BytesIO()
    torch.save({"w": torch.zeros(4)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target_file:
        for entry in source.infolist():
            content = source.read(entry)
            with target_file.open(entry.filename, "w", force_zip64=True) as out:
                for _ in range(32 if "/data/" in entry.filename else 1):
                    out.write(b"\0" * 2**20 if "/data/" in entry.filename else content)
    return packed.getvalue()


def rebuilt(size: tuple[int, ...], stride: tuple[int, ...], storage: int) -> bytes:
    """A state whose tensor has another size than its storage."""
    content = io.BytesIO()
    torch.save({"w": torch.zeros(storage).as_strided(size, stride)}, content)
    return content.getvalue()


def endless_view(target: Path) -> bytes:
    """A tensor of a tebibyte in four bytes: all its entries are one."""
    return rebuilt((2**38,), (0,), 1)


def deep(target: Path) -> bytes:
    return b"[" * 100_000


FILES = (pickled, saved, blank_header, endless_header, endless_tensor, unknown_type, compressed, endless_view, deep)


def read_state(path: Path) -> Any:
    return Store(path.parent).read_state("checkpoint.safetensors")


READERS: dict[str, Callable[[Path], Any]] = {
    "checkpoint.safetensors": read_state,
    "model_1ep0it.safetensors": lambda path: Store(path.parent).read_tensors(path.name),
    "mask.safetensors": Mask.load,
    "done.json": lambda path: Store(path.parent).result(),
    "metrics.jsonl": lambda path: Store(path.parent).read_rows(path.name),
    "interpolation.csv": lambda path: Store(path.parent).read_table(path.name),
    "others": read_checkpoint,
}


@pytest.mark.parametrize("make", FILES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", READERS)
def test_no_reader_is_harmed(name: str, make: Callable[[Path], bytes], tmp_path: Path) -> None:
    content = make(tmp_path / "target")
    (tmp_path / name).write_bytes(content + b"\n" if name == "metrics.jsonl" else content)
    if make is endless_view and name == "others":  # which is harmless until it is copied
        value = READERS[name](tmp_path / name)
        state = value[0] if isinstance(value, tuple) else value
        assert state["w"].untyped_storage().nbytes() < 100
    else:
        with pytest.raises(UsageError) as refused:
            READERS[name](tmp_path / name)
        assert name in str(refused.value)
        assert len(str(refused.value).splitlines()) <= 2
        assert len(str(refused.value)) < 1000
    assert not (tmp_path / "target").exists()


def test_a_last_line_without_its_end_is_dropped_whatever_it_holds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_rows("metrics.jsonl", [{"step": "0ep0it", "iteration": 0, "test_loss": 2.0, "test_accuracy": 0.5}])
    rows = store.read_rows("metrics.jsonl")
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(deep(tmp_path))
    assert store.read_rows("metrics.jsonl") == rows


@pytest.mark.parametrize("make", [pickled, saved, endless_view, unknown_type], ids=lambda make: make.__name__)
def test_a_hostile_checkpoint_of_others_is_refused_and_nothing_written(
    make: Callable[[Path], bytes], tmp_path: Path, command: Command
) -> None:
    (tmp_path / "given.pt").write_bytes(make(tmp_path / "target"))
    flags = ("--k=1", f"--checkpoint={tmp_path / 'given.pt'}", f"--root={tmp_path / 'runs'}")
    outcome = command("stability", *TINY, *flags)
    assert outcome.code == 2
    assert "--checkpoint" in outcome.err
    assert "Traceback" not in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given.pt"]


def test_the_type_and_the_key_that_do_not_fit_are_named(tmp_path: Path, command: Command) -> None:
    (tmp_path / "a.safetensors").write_bytes(unknown_type(tmp_path))
    with pytest.raises(UsageError, match="'F4'"):
        read_checkpoint(tmp_path / "a.safetensors")
    torch.save({"epoch": 3}, tmp_path / "b.pt")
    with pytest.raises(UsageError, match="'epoch' is int"):
        read_checkpoint(tmp_path / "b.pt")


def network(root: Path) -> dict[str, Tensor]:
    (path,) = root.glob("train_*/replicate_1")
    return Store(path).read_tensors("model_1ep0it.safetensors")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a training of two epochs of three."""
    root = tmp_path_factory.mktemp("hostile") / "runs"
    assert main(["train", *TINY, "--to=2", f"--root={root}", "--quiet"]) == 0
    return root


@pytest.mark.parametrize("change", ["sparse", "complex", "whole numbers", "another width"])
def test_tensors_of_another_sort_are_named_by_their_key(
    change: str, trained: Path, tmp_path: Path, command: Command
) -> None:
    tensors = network(trained)
    name = next(iter(tensors))
    changed = {
        "sparse": lambda tensor: tensor.to_sparse(),
        "complex": lambda tensor: tensor.to(torch.complex64),
        "whole numbers": lambda tensor: tensor.to(torch.int64),
        "another width": lambda tensor: torch.cat([tensor, tensor]),
    }[change](tensors[name])
    torch.save({**tensors, name: changed}, tmp_path / "given.pt")
    flags = ("--k=1", f"--checkpoint={tmp_path / 'given.pt'}", f"--root={tmp_path / 'runs'}")
    outcome = command("stability", *TINY, *flags)
    assert outcome.code == 2
    assert f": {name} " in outcome.err
    assert not (tmp_path / "runs").exists()


NONSENSE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "nothing": lambda state: {},
    "a list": lambda state: [],
    "no number": lambda state: {**state, "iteration": None},
    "a negative step": lambda state: {**state, "iteration": -5},
    "a huge step": lambda state: {**state, "iteration": 10**30},
    "a step after the end": lambda state: {**state, "iteration": 10**6},
    "another width": lambda state: {**state, "model": {key: value[:1] for key, value in state["model"].items()}},
    "no network": lambda state: {**state, "model": {}},
    "no running metrics": lambda state: {**state, "tally": torch.zeros(7)},
    "another optimizer": lambda state: {**state, "optimizer": {"state": {}, "param_groups": []}},
    "momentum of another width": lambda state: {**state, "optimizer": narrowed(state["optimizer"])},
    "another mask": lambda state: {**state, "mask": {"fc.weight": torch.ones(2, dtype=torch.bool)}},
    "a mask of numbers": lambda state: {**state, "mask": {"fc.weight": torch.ones(2)}},
}


def narrowed(optimizer: dict[str, Any]) -> dict[str, Any]:
    state = {number: {"momentum_buffer": torch.ones(2)} for number in optimizer["state"]}
    return {**optimizer, "state": state}


@pytest.mark.parametrize("kind", NONSENSE)
def test_well_formed_nonsense_in_a_checkpoint_is_damage(
    kind: str, trained: Path, tmp_path: Path, command: Command
) -> None:
    """Written by the program itself, so that its checksum fits."""
    shutil.copytree(trained, tmp_path / "runs")
    (run,) = (tmp_path / "runs").glob("train_*/replicate_1")
    store = Store(run)
    store.write_state("checkpoint.safetensors", NONSENSE[kind](store.read_state("checkpoint.safetensors")))
    outcome = command("train", *TINY, f"--root={tmp_path / 'runs'}")
    assert outcome.code == 2
    assert f"{run / 'checkpoint.safetensors'} is damaged" in outcome.err
    assert len(outcome.err.splitlines()) <= 4
    (run / "checkpoint.safetensors").unlink()
    assert command("train", *TINY, f"--root={tmp_path / 'runs'}").code == 0


@pytest.mark.parametrize("name", ["../../x", "..", "/etc", "a/b", "a\nb", "a\0b", "", "."])
def test_a_data_set_s_name_leads_nowhere_else(name: str, tmp_path: Path, command: Command) -> None:
    data = tmp_path / "some" / "where" / "data"
    for folder in (tmp_path / "some" / "x", data / "a" / "b"):  # where such a name would lead
        for split in ("train", "test"):
            (folder / split / "cat").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    flags = (f"--data_dir={data}", f"--root={tmp_path / 'runs'}")
    outcome = command("train", f"--dataset=image_folder:{name}", "--model=mnist_lenet_4", *flags)
    assert outcome.code == 2
    assert ("without null characters" if "\0" in name else "expected image_folder:NAME") in outcome.err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_image_that_claims_more_pixels_than_are_read_is_refused(tmp_path: Path, command: Command) -> None:
    for split in ("train", "test"):
        (tmp_path / "data" / "big" / split / "cat").mkdir(parents=True)
        Image.new("1", (5000, 5000)).save(tmp_path / "data" / "big" / split / "cat" / "1.png")
    flags = ("--dataset=image_folder:big", f"--data_dir={tmp_path / 'data'}", f"--root={tmp_path / 'runs'}")
    outcome = command("train", *flags, "--model=mnist_lenet_4")
    assert outcome.code == 2
    assert "5000x5000 pixels; at most 16777216 are read" in outcome.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("make", [blank_header, endless_tensor, unknown_type, saved], ids=lambda make: make.__name__)
def test_a_hostile_cache_of_images_is_not_read(make: Callable[[Path], bytes], tmp_path: Path) -> None:
    (tmp_path / "a.cache.safetensors").write_bytes(make(tmp_path / "target"))
    assert read_cache(tmp_path / "a.cache.safetensors", "source") is None


def test_no_pickle_is_written(trained: Path) -> None:
    for name, content in computed(trained).items():
        assert not zipfile.is_zipfile(io.BytesIO(content)), name
        assert not content.startswith(b"\x80"), name
