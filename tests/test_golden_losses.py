"""Short runs end with the losses, accuracies, barriers and numbers of kept weights with which they always ended.

A change that is to change no number is caught here if it does, on any machine. The tolerances were found by running the
commands with 1 and 2 threads, with ATEN_CPU_CAPABILITY=default and avx2, with ONEDNN_MAX_CPU_ISA=SSE41 (also with
MKL_CBWR=COMPATIBLE), and eight times with initial weights perturbed by a relative 1e-6; they are about five times the
largest deviation seen, or what a single image of the test set makes where none was seen:

- LeNet: losses by 4e-5 (in the barrier; elsewhere by 7e-6), no accuracy and no mask.
- ResNet, whose training amplifies rounding: losses by 2%, accuracies by 1% after an epoch under SynFlow, which sees no
  data and kept the same numbers in all these settings, so they are to be exact. (Other initial weights may move them
  by 10.) AdSynFlow, whose scores depend on the training before, prunes after two steps of six: losses differed by
  1e-5, one training image was classified otherwise, and the numbers of kept weights were the same.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli import main
from foundations import files

LENET = "--dataset=digits --recipe=digits --model=mnist_lenet_16 --training_steps=3ep --k=1"
RESNET = "--dataset=digits --recipe=digits --model=cifar_resnet_8 --training_steps=1ep --lr=0.01 --density=0.1"
Numbers = dict[str, list[float]]


@dataclass(frozen=True)
class Golden:
    """What a command is to leave.

    Args:
        command: the command line.
        loss: the relative deviation allowed to a loss.
        accuracy: the deviation allowed to an accuracy or an error.
        kept: the deviation allowed to the number of weights that a layer keeps.
        numbers: losses and accuracies (test, train), weights kept in each layer, and barriers on the test and the
            training set (raw, with BatchNorm recalculated).
    """

    command: str
    loss: float
    accuracy: float
    kept: int
    numbers: Numbers

    def allowed(self, name: str) -> dict[str, float]:
        """The tolerance of an entry, for ``pytest.approx``."""
        if name.endswith("kept"):
            return {"rel": 0, "abs": self.kept}
        return {"rel": self.loss, "abs": 0} if "loss" in name else {"rel": 0, "abs": self.accuracy}


GOLDEN = {
    "levels": Golden(
        f"lottery {LENET} --pruning_strategy=sparse_global --levels=0-2",
        loss=2e-4,
        accuracy=0.003,
        kept=2,
        numbers={
            "level_0 loss": [0.15001698, 0.13526386],
            "level_0 accuracy": [0.95211268, 0.96116505],
            "level_0 kept": [1024, 160],
            "level_1 loss": [0.15249772, 0.1422027],
            "level_1 accuracy": [0.94929577, 0.95839112],
            "level_1 kept": [808, 139],
            "level_2 loss": [0.15581907, 0.14237241],
            "level_2 accuracy": [0.94929577, 0.9590846],
            "level_2 kept": [633, 125],
            "trunk loss": [0.15001698, 0.13526386],
            "trunk accuracy": [0.95211268, 0.96116505],
        },
    ),
    "barrier": Golden(
        f"stability {LENET} --lr=0.2 --pruning_strategy=none --alphas=3 --report=false",
        loss=2e-4,
        accuracy=0.003,
        kept=0,
        numbers={
            "child_1 loss": [0.18816399, 0.10301762],
            "child_1 accuracy": [0.94084507, 0.96532594],
            "child_2 loss": [0.21850487, 0.146374],
            "child_2 accuracy": [0.93521127, 0.94868239],
            "error_barrier": [0.0028169, 0.0028169, 0.00832178, 0.00832178],
            "loss_barrier": [0.01517044, 0.01517044, 0.02167819, 0.02167819],
            "trunk loss": [0.26034888, 0.152682],
            "trunk accuracy": [0.92676056, 0.94868239],
        },
    ),
    "adsynflow": Golden(
        f"lottery {LENET} --pruning_strategy=adsynflow --density=0.2",
        loss=2e-4,
        accuracy=0.003,
        kept=2,
        numbers={
            "level_1 loss": [0.2692065, 0.2878508],
            "level_1 accuracy": [0.92112676, 0.9112344],
            "level_1 kept": [154, 83],
        },
    ),
    "convolutions, synflow": Golden(
        f"lottery {RESNET} --pruning_strategy=synflow --levels=0-1",
        loss=0.1,
        accuracy=0.05,
        kept=0,
        numbers={
            "level_0 loss": [0.56252497, 0.54323641],
            "level_0 accuracy": [0.90985915, 0.92441054],
            "level_0 kept": [144, 2304, 2304, 4608, 9216, 512, 18432, 36864, 2048, 640],
            "level_1 loss": [1.48236961, 1.45352258],
            "level_1 accuracy": [0.75211268, 0.76976422],
            "level_1 kept": [135, 1060, 1127, 1252, 1278, 34, 998, 1145, 200, 478],
            "trunk loss": [0.56252497, 0.54323641],
            "trunk accuracy": [0.90985915, 0.92441054],
        },
    ),
    "convolutions, adsynflow": Golden(
        f"lottery {RESNET.replace('1ep', '6it')} --pruning_strategy=adsynflow --k=2it",
        loss=1e-4,
        accuracy=0.006,
        kept=2,
        numbers={
            "level_1 loss": [2.31816183, 2.30491797],
            "level_1 accuracy": [0.14647887, 0.14355062],
            "level_1 kept": [136, 1077, 1094, 1239, 1268, 22, 1052, 1191, 148, 480],
        },
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_numbers_are_those_of_before(name: str, tmp_path: Path) -> None:
    golden = GOLDEN[name]
    assert main([*golden.command.split(), "--threads=1", "--quiet", f"--root={tmp_path}"]) == 0
    found = numbers(tmp_path)
    assert list(found) == list(golden.numbers)
    for entry, expected in golden.numbers.items():
        assert found[entry] == pytest.approx(expected, **golden.allowed(entry)), entry


def numbers(root: Path) -> Numbers:
    """What is compared, of all runs below ``root``."""
    found: Numbers = {}
    for path in sorted(root.glob("*/replicate_1/**/*.json"), key=lambda path: (path.parent.name, path.name)):
        content, where = json.loads(path.read_text()), path.parent.name.replace("replicate_1", "trunk")
        if path.name == files.DONE:
            found[f"{where} loss"] = [content["test_loss"], content["train_loss"]]
            found[f"{where} accuracy"] = [content["test_accuracy"], content["train_accuracy"]]
        elif path.name == files.SPARSITY_REPORT:
            found[f"{where} kept"] = [layer["kept"] for layer in content["layers"]]
        elif path.name == files.INSTABILITY:
            for barrier in ("error_barrier", "loss_barrier"):
                found[barrier] = [
                    content[barrier][data][kind] for data in ("test", "train") for kind in ("raw", "recalculated")
                ]
    return found
