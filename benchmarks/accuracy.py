"""Accuracy of the dense ResNet-20: open_lth and this framework, its recipe, the same images, several runs each.

    OPEN_LTH=<checkout> ADSYNFLOW_DATA=<data> python -m benchmarks accuracy

takes CIFAR-10 where there is a GPU. ``python -m benchmarks.accuracy ours|theirs <data set> <epochs> <run>`` is one run
on any data set and device.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.measuring import CHECKOUT, Row, Settings, in_child
from benchmarks.open_lth.checkout import load_open_lth, repaired

EPOCHS, RUNS = 8, 3


def measure(settings: Settings) -> list[Row]:
    """The drop in learning rate is at a half and three quarters, as in open_lth's 160 epochs."""
    import torch

    if not (os.environ.get("OPEN_LTH") and os.environ.get("ADSYNFLOW_DATA") and torch.cuda.is_available()):
        return [Row("accuracy beside open_lth's", "needs a GPU, OPEN_LTH and ADSYNFLOW_DATA")]
    found = {
        side: [in_child("accuracy", side, "cifar10", EPOCHS, run, settings=settings) for run in range(1, 1 + RUNS)]
        for side in ("ours", "theirs")
    }
    rows = [
        Row(f"{side}, test accuracy after {EPOCHS} epochs, {RUNS} runs", f"{mean(runs):.2f} ± {stdev(runs):.2f}%")
        for side, runs in found.items()
    ]
    return [*rows, Row("ours - theirs, points", f"{mean(found['ours']) - mean(found['theirs']):+.2f}", "over -0.3")]


def ours(dataset: str, epochs: int, run: int) -> float:
    """Through the command line, as everybody would."""
    with tempfile.TemporaryDirectory() as folder:
        flags = (
            f"--model=cifar_resnet_20 --recipe=open_lth --dataset={dataset} --training_steps={epochs}ep "
            f"--milestone_steps={epochs // 2}ep,{3 * epochs // 4}ep --replicate={run} --root={folder} --quiet"
        )
        command = [sys.executable, "main.py", "train", *flags.split()]
        subprocess.run(command, cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)
        [done] = Path(folder).glob("train_*/replicate_*/done.json")
        return 100 * float(json.loads(done.read_text())["test_accuracy"])


def theirs(dataset: str, epochs: int, run: int) -> float:
    """open_lth's own loop and loader, fed with the images that ours decodes."""
    import torch

    from foundations.reporting import Reporter
    from training.data import DataHparams, load

    decoded = load(DataHparams(dataset=dataset), Path(os.environ["ADSYNFLOW_DATA"]), Reporter())
    torch.manual_seed(run)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        train_model = load_open_lth(repaired(Path(os.environ["OPEN_LTH"]), Path(folder, "open_lth")))
        model = train_model(decoded.train.images.numpy(), decoded.train.labels.numpy(), f"{epochs}ep")
        return accuracy(model.eval(), decoded.test)


def accuracy(model: Any, split: Any) -> float:
    """Percent of a split that ``model`` gets right, with open_lth's normalization."""
    import torch

    center, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    device = next(model.parameters()).device
    correct = 0
    with torch.no_grad():
        for images, labels in zip(split.images.split(1000), split.labels.split(1000), strict=True):
            inputs = ((images / 255 - center) / spread).permute(0, 3, 1, 2).to(device)
            correct += int((model(inputs).argmax(1).cpu() == labels).sum())
    return 100 * correct / len(split.labels)


if __name__ == "__main__":
    side = {"ours": ours, "theirs": theirs}[sys.argv[1]]
    print(json.dumps(side(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
