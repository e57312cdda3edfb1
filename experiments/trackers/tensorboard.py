"""TensorBoard: ``tensorboard --logdir=<root>/tracked/tensorboard``."""

from collections.abc import Mapping
from typing import Any

from experiments.trackers.registry import TrackedRun, Tracker, trackers


@trackers.register("tensorboard")
class TensorBoard(Tracker):
    """Event files in ``<root>/tracked/tensorboard/<run>``; those of an earlier process are rewritten."""

    package, extra = "tensorboard", "track"

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        super().__init__(run)
        directory = run.directory("tensorboard")
        for old in directory.glob("events.out.tfevents.*"):
            old.unlink()
        self.writer = SummaryWriter(str(directory))
        table = [f"| {name} | {value} |" for name, value in run.hyperparameters.items()]
        self.writer.add_text("hyperparameters", "\n".join(["| name | value |", "|---|---|", *table]))

    def row(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name != "iteration" and isinstance(value, (int, float)):
                self.writer.add_scalar(name, value, row["iteration"])
        self.writer.flush()

    def finish(self, figures: Mapping[str, float]) -> None:
        plain = {
            name: value if isinstance(value, (bool, int, float, str)) else str(value)
            for name, value in self.run.hyperparameters.items()
        }
        final = {f"final/{name}": value for name, value in figures.items()}
        self.writer.add_hparams(plain, final, run_name=".")

    def close(self) -> None:
        self.writer.close()
