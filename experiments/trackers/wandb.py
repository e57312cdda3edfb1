"""Weights & Biases. ``WANDB_MODE=offline`` needs no account and no network; ``WANDB_PROJECT`` names the project."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from experiments.trackers.registry import TrackedRun, Tracker, trackers
from foundations import files


@trackers.register("wandb")
class WeightsAndBiases(Tracker):
    """A run of the project ``adsynflow``, whose id follows from the path: one that goes on is the same there."""

    package, extra = "wandb", "wandb"

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        super().__init__(run)
        directory = run.root / files.TRACKED / "wandb"
        directory.mkdir(parents=True, exist_ok=True)
        self.wandb = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "adsynflow"), name=run.name, group=run.name.partition("/")[0],
            id=hashlib.sha256(f"{run.root.resolve()}/{run.name}".encode()).hexdigest()[:16],
            config=dict(run.hyperparameters), dir=str(directory), resume="allow", reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )  # fmt: skip

    def row(self, row: Mapping[str, Any]) -> None:
        self.wandb.log({name: value for name, value in row.items() if value is not None}, step=row["iteration"])

    def finish(self, figures: Mapping[str, float]) -> None:
        self.wandb.summary.update({f"final/{name}": value for name, value in figures.items()})

    def close(self) -> None:
        self.wandb.finish()
