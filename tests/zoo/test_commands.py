"""Whole command lines: a ticket is trained, taken away, used without this program, and brought back; an analysis."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import prune as torch_prune

from tests.zoo.conftest import digits_of
from tests.zoo.looking import images, made
from tests.zoo.networks import ZOO
from tests.zoo.refusals import REFUSALS

Command = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("in_registry")

SMALL = ("--dataset=digits", "--subsample_fraction=0.1", "--batch_size=32", "--quiet", "--threads=1")
SUBNETWORK = ("--density=0.4", "--pruning_strategy=magnitude")
NAMED = (
    "tied", "sliced", "low_rank", "frozen", "pretrained", "log_softmax", "looped", "functional_use", "spectral_norm",
    "standardized", "plain_view", "kinds", "resnet", "mobile", "densenet", "convnext", "layers_3d", "lstm", "attention",
    "MaxPool2d", "data_parallel",
)  # fmt: skip
IN_TWO_FORMATS = ("mobile", "low_rank", "functional_use", "attention", "lstm", "densenet")
REFUSED = {
    "double": "1.weight is torch.float64", "lazy": "LazyLinear", "dict_output": "a dict", "functional": "no weights to",
    "torch_pruned": "torch.nn.utils.prune", "weight_norm_old": "parametrizations.weight_norm",
}  # fmt: skip
NOT_ALL_THE_WAY = {*REFUSALS["train"], *REFUSALS["prune"], "complex_weights"}
"""Complex numbers are not imported."""
SOME = list(dict.fromkeys([*NAMED, *(animal for animal in list(ZOO)[::3] if animal not in NOT_ALL_THE_WAY)]))
"""A third of the zoo, and those that are unlike the others: the commands for each take a second."""


def small(animal: str, root: Path) -> tuple[str, ...]:
    return (f"--model=zoo_{list(ZOO).index(animal) + 1}", f"--root={root}", *SMALL)


@pytest.mark.parametrize("animal", SOME)
def test_a_ticket_is_trained_taken_away_used_and_brought_back(animal: str, command: Command, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    outcome = command("lottery", *small(animal, root), *SUBNETWORK, "--training_steps=3it", "--k=0")
    assert outcome.code == 0, outcome.err
    [level] = root.glob("lottery_*/replicate_1/level_1")
    trained = json.loads((level / "done.json").read_text())
    for form in ("safetensors", "torch") if animal in IN_TWO_FORMATS else ("safetensors",):
        outcome = command("export", str(level), f"--format={form}", f"--output={tmp_path / form}")
        assert outcome.code == 0, outcome.err
        plain = made(animal).eval()
        load = load_pruned if form == "torch" else load_weights
        load(plain, tmp_path / form)
        assert accuracy_of(plain) == pytest.approx(trained["test_accuracy"], abs=1e-6)
        outcome = command("import", str(tmp_path / form), *small(animal, root)[:2], "--dataset=digits")
        assert outcome.code == 0, outcome.err
    [imported] = root.glob("import_*/replicate_1/done.json")  # both forms hold one and the same network
    assert json.loads(imported.read_text())["density"] == pytest.approx(trained["density"])


def load_weights(model: nn.Module, folder: Path) -> None:
    model.load_state_dict(load_file(folder / "model.safetensors"))


def load_pruned(model: nn.Module, folder: Path) -> None:
    """As the documentation of ``torch.nn.utils.prune`` has it."""
    tensors = torch.load(folder / "ticket.pt", weights_only=True)
    masks = {name.removesuffix("_mask"): tensors.pop(name) for name in list(tensors) if name.endswith("_mask")}
    model.load_state_dict({name.removesuffix("_orig"): value for name, value in tensors.items()})
    for name, mask in masks.items():
        layer, _, parameter = name.rpartition(".")
        torch_prune.custom_from_mask(model.get_submodule(layer), parameter, mask)


@torch.no_grad()
def accuracy_of(model: nn.Module) -> float:
    """On the test digits, in plain PyTorch."""
    [(inputs, labels)] = digits_of(subsample_fraction=0.1).evaluation_batches("test")
    scores = model(inputs.clone(memory_format=torch.contiguous_format))
    return float((scores.argmax(1) == labels).double().mean())


@pytest.mark.parametrize("animal", REFUSED)
def test_what_cannot_be_trained_is_refused_in_a_line_that_names_it(
    animal: str, command: Command, tmp_path: Path
) -> None:
    for flags in (("lottery", *SUBNETWORK, "--k=0"), ("stability", *SUBNETWORK, "--k=0")):
        outcome = command(*flags, *small(animal, tmp_path / "runs"), "--training_steps=3it")
        assert outcome.code == 2, outcome.err
        assert REFUSED[animal] in outcome.err
        assert "Traceback" not in outcome.err


def test_onnx_gives_the_scores_of_pytorch(command: Command, tmp_path: Path) -> None:
    import onnxruntime

    root = tmp_path / "runs"
    assert command("train", *small("mobile", root), "--training_steps=1it").code == 0
    [run] = root.glob("train_*/replicate_1")
    for form in ("onnx", "safetensors"):
        assert command("export", str(run), f"--format={form}", f"--output={tmp_path / form}").code == 0
    plain = made("mobile").eval()
    load_weights(plain, tmp_path / "safetensors")
    session = onnxruntime.InferenceSession(tmp_path / "onnx/network.onnx", providers=["CPUExecutionProvider"])
    [scores] = session.run(None, {"images": images().numpy()})
    torch.testing.assert_close(torch.from_numpy(scores), plain(images()), rtol=1e-4, atol=1e-5)


def test_what_pytorch_cannot_trace_is_written_without_its_architecture(command: Command, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    assert command("train", *small("transformer", root), "--training_steps=1it").code == 0
    [run] = root.glob("train_*/replicate_1")
    outcome = command("export", str(run), "--format=torch", f"--output={tmp_path / 'torch'}")
    assert outcome.code == 0, outcome.err
    assert "network.pt2 is left out: torch.export cannot trace" in outcome.err
    assert {path.name for path in (tmp_path / "torch").iterdir()} == {"README.md", "network.json", "ticket.pt"}
    refused = command("export", str(run), "--format=onnx", f"--output={tmp_path / 'onnx'}")
    assert refused.code == 2, refused.err
    assert "network.onnx: it takes no batch of 16" in refused.err
    assert not (tmp_path / "onnx").exists()


@pytest.mark.parametrize("animal", SOME)
def test_an_instability_analysis(animal: str, command: Command, tmp_path: Path) -> None:
    flags = ("--training_steps=2it", "--k=1it", *SUBNETWORK, "--alphas=3", "--report=false")
    outcome = command("stability", *small(animal, tmp_path), *flags)
    assert outcome.code == 0, outcome.err
    [verdict] = tmp_path.glob("stability_*/replicate_1/k_0ep1it/instability.json")
    assert json.loads(verdict.read_text())["error_barrier"]["test"]["raw"] is not None
