"""metrics.jsonl: a line for each epoch of a training, and a second copy of it in the checkpoint."""

import math
from pathlib import Path
from typing import Any

from foundations import files, formats
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from training.data import TrainingData
from training.hparams import TrainingHparams
from training.loop import arithmetic, evaluate
from training.state import TrainState

Row = dict[str, Any]

IN_CHECKPOINT = "metrics"
"""The entry of a checkpoint that holds the rows, as the text of their file."""
DIVERGED = "diverged"
"""The entry of a last row at which the training was given up."""


def measure(state: TrainState, data: TrainingData, hparams: TrainingHparams) -> Row:
    """A row of metrics at the state's step."""
    row: Row = {"step": Step.at(state.iteration, data.iterations_per_epoch), "iteration": state.iteration}
    loss_sum, correct, size = state.running_metrics.tolist()
    if size:
        row |= {"batch_loss": loss_sum / size, "batch_accuracy": correct / size}
    with arithmetic(hparams, data.device):
        test = evaluate(state.model, data.evaluation_batches("test"))
    return row | {f"test_{name}": value for name, value in test.items()}


def is_finite(row: Row) -> bool:
    """Whether the row's losses are numbers; those that are not are null once they have been in a file."""
    losses = (row.get("batch_loss", 0.0), row["test_loss"])
    return all(loss is not None and math.isfinite(loss) for loss in losses)


def keep(rows: list[Row]) -> dict[str, str]:
    """The rows as an entry of a checkpoint, which says whose they are."""
    return {IN_CHECKPOINT: formats.encode_rows(Path(files.METRICS), rows).decode()}


def history(store: Store, start: int, reached: int, end: int, per_epoch: int, reporter: Reporter) -> list[Row]:
    """The rows of a training up to iteration ``reached``; none of one that has not begun.

    Rows that the file lacks are restored from the checkpoint.

    Args:
        store: the directory of the training.
        start: the iteration at which it began.
        reached: the iteration at which it goes on.
        end: its last iteration.
        per_epoch: iterations of an epoch.
        reporter: hears of a restoration.

    Raises:
        UsageError: rows are missing, and the checkpoint does not have them either.
    """
    wanted = {start, *range(start - start % per_epoch + per_epoch, reached + 1, per_epoch), *({reached} & {end})}

    def whole(rows: list[Row]) -> bool:
        return wanted <= {row["iteration"] for row in rows}

    rows = up_to(reached, store.read_rows(files.METRICS))
    if whole(rows) or reached == start:
        return rows
    path = store / files.METRICS
    if whole(rows := up_to(reached, kept(store))):
        write_back(store, rows, reporter)
        return rows
    raise UsageError(
        f"{path} lacks epochs that were trained, and they are in no checkpoint; only training again gives them.\n"
        f"Rename the directory {store.path} and run the same command again: it is trained anew."
    )


def restore(store: Store, reporter: Reporter) -> None:
    """Writes the metrics of a finished training anew if the file lacks the last of them, and says so.

    They are taken from the checkpoint in the directory where the network lies: level 0 of a lottery run is the trunk.
    """
    try:
        result = store.result() if store.has(files.DONE) else {}
    except UsageError:  # whoever needs the result says so
        return
    rows = store.read_rows(files.METRICS)
    if "step" not in result or (rows and rows[-1]["step"] == result["step"]):
        return
    rows = kept(Store((store / result.get("model", files.CHECKPOINT)).parent))
    if rows and rows[-1]["step"] == result["step"]:
        write_back(store, rows, reporter)
    else:
        reporter.warn(f"{store / files.METRICS} lacks epochs that were trained, and so does the checkpoint")


def kept(store: Store) -> list[Row]:
    """The rows in the checkpoint, as far as there is one; older programs wrote none."""
    if not store.has_state(files.CHECKPOINT):
        return []
    text = store.read_state(files.CHECKPOINT).get(IN_CHECKPOINT, "")
    return formats.decode_rows(store / files.METRICS, text.encode())


def write_back(store: Store, rows: list[Row], reporter: Reporter) -> None:
    """Writes rows that the file lacks."""
    reporter.warn(f"{store / files.METRICS} lacked epochs that were trained; it is restored from the checkpoint")
    store.write_rows(files.METRICS, rows)


def up_to(iteration: int, rows: list[Row]) -> list[Row]:
    """The rows of no later step."""
    return [row for row in rows if row["iteration"] <= iteration]
