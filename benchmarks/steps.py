"""No step twice: the optimizer steps of a stability curve against those of its points one by one."""

import contextlib
import io
import json
import math
import sys
import tempfile
from typing import Any

from benchmarks.measuring import Row, Settings, in_child

EPOCHS, IMAGES, BATCH = 12, 144, 24
"""A tenth of the digits, 6 steps an epoch."""


def measure(settings: Settings) -> list[Row]:
    """Seven k's with two children each. The trunk is trained to its end, since the full network is reported, too."""
    ks = settings.pick((0, 1, 2, 4, 6, 8, 10), (0, 1, 2))
    together = in_child("steps", *ks, settings=settings)
    apart = sum(in_child("steps", k, settings=settings) for k in ks)
    per_epoch = math.ceil(IMAGES / BATCH)
    least = per_epoch * (EPOCHS + sum(2 * (EPOCHS - k) for k in ks))
    return [
        Row(f"{len(ks)} k's with 2 children: optimizer steps of the curve", f"{together}", f"{least}, the trunk once"),
        Row("the same points as separate runs, each with its own trunk", f"{apart}"),
        Row("steps saved", f"{1 - together / apart:.1%}"),
    ]


def count_steps(ks: list[str]) -> int:
    """The optimizer steps that one ``stability`` command takes from nothing."""
    from cli import main
    from training import loop

    taken, real = [], loop.step

    def counted(state: Any, batches: Any, *rest: Any) -> None:
        taken.extend(batches)
        real(state, batches, *rest)

    loop.step = counted  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()):
        code = main(
            [
                "stability", f"--k={','.join(ks)}", f"--root={root}", "--dataset=digits", "--model=mnist_lenet_16",
                f"--training_steps={EPOCHS}ep", f"--batch_size={BATCH}", "--subsample_fraction=0.1", "--alphas=2",
                "--pruning_iterations=3", "--report=false", "--quiet",
            ]
        )  # fmt: skip
    if code:
        raise RuntimeError("the stability run failed")
    return len(taken)


if __name__ == "__main__":
    print(json.dumps(count_steps(sys.argv[1:])))
