"""Somebody else's weights in the place of the trunk at k."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from foundations.errors import UsageError
from foundations.store import Store
from stability import AnalysisAtK, StabilityDesc
from training.imported import read_checkpoint

MakeRunner = Callable[..., AnalysisAtK]


@pytest.fixture
def weights(shared_root: Path, make_runner: MakeRunner) -> dict[str, torch.Tensor]:
    """The trunk at one epoch, as if it came from elsewhere."""
    model = make_runner(shared_root).state_at_k().model
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def test_safetensors_and_plain_or_nested_state_dicts_are_read(tmp_path: Path, weights) -> None:
    save_file(weights, tmp_path / "a")
    torch.save(weights, tmp_path / "b")
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "c")
    for name in "abc":
        tensors, digest = read_checkpoint(tmp_path / name)
        assert tensors.keys() == weights.keys()
        assert all(torch.equal(tensors[name], weights[name]) for name in weights)
        assert len(digest) == 12


def test_it_stands_in_for_the_trunk_at_k(
    tmp_path: Path, shared_root: Path, weights, make_runner: MakeRunner, full: StabilityDesc
) -> None:
    """With plain SGD, which keeps no state, the children are those of the trunk's own analysis, bit for bit."""
    sgd = replace(full, train=replace(full.train, training=replace(full.train.training, optimizer="sgd")))
    own = make_runner(shared_root, sgd)
    own.compare()
    model = own.state_at_k().model
    given = make_runner(tmp_path, replace(sgd, checkpoint="0123456789ab"), checkpoint=model.state_dict())
    given.compare()
    for name in ("child_1/model_4ep0it.safetensors", "child_2/model_4ep0it.safetensors"):
        theirs, ours = (Store(runner.here.path).read_tensors(name) for runner in (given, own))
        assert all(torch.equal(theirs[key], ours[key]) for key in {*theirs, *ours})
    assert given.result().accuracy_gap == own.result().accuracy_gap
    assert not list(tmp_path.glob("train_*"))  # the trunk was not needed


def test_strategies_share_the_full_network_trained_from_it(
    tmp_path: Path, weights, make_runner: MakeRunner, pruned: StabilityDesc
) -> None:
    make_runner(tmp_path, replace(pruned, checkpoint="0123456789ab"), checkpoint=weights).compare()
    assert len(list(tmp_path.glob("stability_*/replicate_1/k_1ep0it/full_network/done.json"))) == 1
    assert len(list(tmp_path.glob("stability_*"))) == 2


def test_names_and_shapes_that_do_not_fit_are_listed(tmp_path: Path, weights, make_runner: MakeRunner) -> None:
    weights = {"stray": torch.ones(2), **weights, "fc.bias": torch.ones(3)}
    del weights["fc1.weight"]
    with pytest.raises(UsageError) as error:
        make_runner(tmp_path, checkpoint=weights)
    message = str(error.value)
    assert "missing: fc1.weight" in message
    assert "unknown: stray" in message
    assert "fc.bias (3,) instead of (10,)" in message


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"rubbish", "neither safetensors nor a plain state dict"), (None, "No such file"), ([1, 2], "tensors by name")],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content, complaint: str) -> None:
    path = tmp_path / "file"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UsageError, match=complaint):
        read_checkpoint(path)


class Trap:
    """Unpickled carelessly, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_no_code_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    torch.save({"weight": Trap(tmp_path / "sprung")}, tmp_path / "file")
    with pytest.raises(UsageError, match="neither safetensors"):
        read_checkpoint(tmp_path / "file")
    assert not (tmp_path / "sprung").exists()
