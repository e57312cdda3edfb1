"""metrics.jsonl: a line for each evaluation of a training, and a second copy of them in the checkpoint."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from foundations import files, formats
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.recovery import METRICS_ENTRY, checkpoint_of, rows_in_checkpoint
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from training.arithmetic import arithmetic
from training.data import TrainingData
from training.hparams import TrainingHparams
from training.loop import evaluate
from training.state import TrainState

VALIDATION = "validation"
"""The name of the split that is held out of the training set, where there is one."""


def measure(state: TrainState, data: TrainingData, hparams: TrainingHparams) -> Row:
    """Return a row of metrics at the state's step."""
    row: Row = {"step": Step.at(state.iteration, data.iterations_per_epoch), "iteration": state.iteration}
    loss_sum, correct, size = state.running_metrics.tolist()
    if size:
        row |= {"batch_loss": loss_sum / size, "batch_accuracy": correct / size}
    return row | evaluations(state, data, hparams, ("test",))


def evaluations(
    state: TrainState, data: TrainingData, hparams: TrainingHparams, splits: Iterable[str]
) -> dict[str, float]:
    """Return loss and accuracy on ``splits`` and on the validation set, if there is one: ``test_loss`` and so on."""
    found: dict[str, float] = {}
    with arithmetic(hparams, data.device):
        for split in (*splits, *({VALIDATION} & {*data.sizes})):
            measured = evaluate(state.model, data.evaluation_batches(split))
            found |= {f"{split}_{name}": value for name, value in measured.items()}
    return found


def early_stopping(rows: Iterable[Row]) -> Row:
    """Return what a training would have come to, had it been stopped where its validation loss was smallest.

    Returns:
        ``early_stopping_iteration`` and ``early_stopping_test_accuracy``, of the first such row; nothing without
        validation losses. As fine as the test set was evaluated.
    """
    finite = [row for row in rows if (loss := row.get("validation_loss")) is not None and math.isfinite(loss)]
    if not finite:
        return {}
    best = min(finite, key=lambda row: row["validation_loss"])
    return {"early_stopping_iteration": best["iteration"], "early_stopping_test_accuracy": best["test_accuracy"]}


def is_finite(row: Row) -> bool:
    """Return whether the row's losses are finite; those that are not are null once they have been in a file."""
    losses = (row.get("batch_loss", 0.0), row["test_loss"])
    return all(loss is not None and math.isfinite(loss) for loss in losses)


def keep(rows: list[Row]) -> dict[str, str]:
    """Return the rows as an entry of a checkpoint."""
    return {METRICS_ENTRY: formats.encode_rows(Path(files.METRICS), rows).decode()}


@dataclass(frozen=True)
class Evaluations:
    """The iterations of a training that have a row of metrics.

    Args:
        start: its first; that of a branch is where it leaves the trunk.
        end: its last.
        every: the others are multiples of this. A training may have gone on with another number than it began with.
    """

    start: int
    end: int
    every: int

    def up_to(self, reached: int) -> set[int]:
        """Return those of no later step than ``reached``."""
        first = self.start - self.start % self.every + self.every
        return {self.start, *range(first, reached + 1, self.every), *({reached} & {self.end})}


def history(store: Store, evaluations: Evaluations, reached: int, reporter: Reporter) -> list[Row]:
    """Return the rows of a training that goes on at iteration ``reached``; none of one that has not begun.

    Rows that the file lacks are restored from the checkpoint; rows of later steps, which will be taken again, are cut
    off.

    Raises:
        UsageError: rows are missing, and the checkpoint does not have them either.
    """
    in_file = store.read_rows(files.METRICS)
    rows = known(store, evaluations, reached)
    if rows is None:
        raise UsageError(
            f"{store / files.METRICS} lacks epochs that were trained, and they are in no checkpoint.\n"
            f"Rename the directory {store.path} and run the same command again: it is recomputed."
        )
    if len(rows) > len(up_to(reached, in_file)):
        write_back(store, rows, reporter)
    elif rows != in_file:
        store.write_rows(files.METRICS, rows)
    return rows


def known(store: Store, evaluations: Evaluations, reached: int) -> list[Row] | None:
    """Return the rows up to iteration ``reached``, from the file or else the checkpoint; None if some are lost.

    Those in the checkpoint are all that there were up to its step, however often the test set was evaluated.
    """
    wanted, rows = evaluations.up_to(reached), up_to(reached, store.read_rows(files.METRICS))
    if reached == evaluations.start or wanted <= iterations(rows):
        return rows
    before = rows_in_checkpoint(store)
    if not before:
        return None
    last = before[-1]["iteration"]
    rows = up_to(reached, before) + [row for row in rows if row["iteration"] > last]
    return rows if {iteration for iteration in wanted if iteration > last} <= iterations(rows) else None


def restore(store: Store, reporter: Reporter) -> None:
    """Write the metrics of a finished training anew if the file lacks the last of them, and says so.

    They are taken from the checkpoint in the directory where the network lies: level 0 of a lottery run is the trunk.
    """
    try:
        result = store.result() if store.has(files.DONE) else {}
    except UsageError:  # whoever needs the result says so
        return
    rows = store.read_rows(files.METRICS)
    if "step" not in result or (rows and rows[-1]["step"] == result["step"]):
        return
    rows = rows_in_checkpoint(checkpoint_of(store, result))
    if rows and rows[-1]["step"] == result["step"]:
        write_back(store, rows, reporter)
    else:
        reporter.warn(f"{store / files.METRICS} lacks epochs that were trained, and so does the checkpoint")


def write_back(store: Store, rows: list[Row], reporter: Reporter) -> None:
    reporter.warn(f"{store / files.METRICS} lacked epochs that were trained; it is restored from the checkpoint")
    store.write_rows(files.METRICS, rows)


def iterations(rows: list[Row]) -> set[int]:
    return {row["iteration"] for row in rows}


def up_to(iteration: int, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["iteration"] <= iteration]
