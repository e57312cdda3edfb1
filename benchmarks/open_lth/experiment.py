"""``python -m benchmarks.open_lth.experiment theirs|ours <steps> <images> <copy>``: seconds of a whole experiment.

The experiment: LeNet-300-100 on images like MNIST's, levels 0 to 2 of iterative magnitude pruning, each trained for
``steps`` (``2ep``), as a command of its own, its start included.
"""

import contextlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import CHECKOUT
from benchmarks.open_lth.checkout import make_importable

MODEL = "mnist_lenet_300_100"


def seconds(side: str, steps: str, images: Path, copy: Path) -> float:
    """How long the command takes."""
    with tempfile.TemporaryDirectory() as folder:
        if side == "theirs":  # it keeps its data sets and results in the home directory
            Path(folder, "open_lth_datasets").symlink_to(images)
            command = [sys.executable, "-m", "benchmarks.open_lth.experiment", "command", steps, str(images), str(copy)]
        else:
            command = [sys.executable, "main.py", *ours(steps, images, Path(folder))]
        start = time.perf_counter()
        subprocess.run(command, cwd=CHECKOUT, env={**os.environ, "HOME": folder}, check=True, stdout=sys.stderr)
        return time.perf_counter() - start


def ours(steps: str, images: Path, root: Path) -> list[str]:
    """The arguments of our command."""
    return [
        "lottery", f"--model={MODEL}", "--dataset=mnist", "--recipe=open_lth", "--pruning_strategy=sparse_global",
        "--levels=0-2", f"--training_steps={steps}", "--k=0", "--layers_to_ignore=fc.weight",
        f"--threads={os.environ['OMP_NUM_THREADS']}", f"--root={root}", f"--data_dir={images}",
    ]  # fmt: skip


def run_open_lth(steps: str, copy: Path) -> None:
    """open_lth's own command line, in this process."""
    kept = make_importable(copy)
    sys.argv = [
        "open_lth.py", "lottery", f"--default_hparams={MODEL}", "--levels=2", f"--training_steps={steps}",
        "--num_workers=0",
    ]  # fmt: skip
    runpy.run_path(str(copy / "open_lth.py"), run_name="__main__")
    assert kept is not None


if __name__ == "__main__":
    side, steps, images, copy = *sys.argv[1:3], *map(Path, sys.argv[3:])
    if side == "command":
        run_open_lth(steps, copy)
    else:
        with contextlib.redirect_stdout(sys.stderr):
            found = seconds(side, steps, images, copy)
        print(json.dumps(found))
