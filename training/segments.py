"""Training that is written down: metrics by epoch, and a checkpoint from which it goes on."""

import math
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from foundations import files
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from training.data import TrainingData
from training.hparams import TrainingHparams
from training.loop import arithmetic, evaluate, train
from training.state import TrainState


def advance_to(
    until: int,
    store: Store,
    state: TrainState,
    data: TrainingData,
    hparams: TrainingHparams,
    reporter: Reporter,
    *,
    save_at: Collection[int] = (),
    save: Callable[[TrainState], None] = lambda state: None,
) -> None:
    """Trains ``state`` to iteration ``until`` in segments that end with each epoch and at each step of ``save_at``.

    These lie between the state's iteration and ``until``.

    At the end of an epoch a row is added to ``metrics.jsonl`` and the whole state goes to ``checkpoint.pt``; a run
    that was killed goes on from there. A row holds ``step``, ``iteration``, the loss and accuracy of the epoch's
    own batches (``batch_*``, as trained on, augmented) and of the test set (``test_*``).
    """
    per_epoch, end = data.iterations_per_epoch, hparams.training_steps.iteration(data.iterations_per_epoch)
    rows = [row for row in store.read_rows(files.METRICS) if row["iteration"] <= state.iteration]
    if not rows:
        rows.append(measure(state, data, hparams))
        store.write_rows(files.METRICS, rows)
    ends = {stop for stop in (*range(per_epoch, until, per_epoch), until) if stop > state.iteration}
    with reporter.progress(f"{store.path.parent.name}/{store.path.name}", until - state.iteration, "it") as advance:
        for stop in sorted(ends | set(save_at)):
            train(state, data, hparams, until=stop, advance=advance)
            if (stop % per_epoch == 0 or stop == end) and stop > rows[-1]["iteration"]:
                rows.append(measure(state, data, hparams))
                store.write_rows(files.METRICS, rows)
                reporter.say(describe(store, rows[-1], hparams))
                if diverged(rows):
                    reporter.warn(f"{Step(rows[-1]['step']).short}: the loss is no longer finite; try a smaller --lr")
            if stop in save_at:  # after the metrics, so that what is saved has them
                save(state)
            if stop % per_epoch == 0 or stop == until:
                store.write_state(files.CHECKPOINT, state.checkpoint())


def measure(state: TrainState, data: TrainingData, hparams: TrainingHparams) -> dict[str, Any]:
    """A row of metrics at the state's step."""
    row: dict[str, Any] = {
        "step": Step.at(state.iteration, data.iterations_per_epoch),
        "iteration": state.iteration,
    }
    loss_sum, correct, size = state.running_metrics.tolist()
    if size:
        row |= {"batch_loss": loss_sum / size, "batch_accuracy": correct / size}
    with arithmetic(hparams, data.device):
        test = evaluate(state.model, data.evaluation_batches("test"))
    return row | {f"test_{name}": value for name, value in test.items()}


def diverged(rows: list[dict[str, Any]]) -> bool:
    """Whether the last row is the first whose test loss is not finite (null, once it has been in a file)."""
    before, now = (row["test_loss"] for row in rows[-2:])
    return not math.isfinite(now) and before is not None and math.isfinite(before)


def final_result(state: TrainState, data: TrainingData, hparams: TrainingHparams) -> dict[str, Any]:
    """Loss and accuracy at the end of training, on the whole test set and the whole training set, not augmented."""
    with arithmetic(hparams, data.device):
        return {
            "step": Step.at(state.iteration, data.iterations_per_epoch),
            **{
                f"{split}_{name}": value
                for split in ("test", "train")
                for name, value in evaluate(state.model, data.evaluation_batches(split)).items()
            },
        }


def train_branch(
    store: Store,
    state: TrainState,
    data: TrainingData,
    hparams: TrainingHparams,
    reporter: Reporter,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Trains a branch of the trunk from ``state``, or from where it was interrupted, to the end, and finishes it.

    Returns what it writes to ``done.json``: ``about``, the final losses and accuracies, and the name of the final
    network's file, ``model_<end>.safetensors``.
    """
    end = hparams.training_steps.iteration(data.iterations_per_epoch)
    if store.has(files.CHECKPOINT):
        state.restore(store.read_state(files.CHECKPOINT))
        reporter.say(f"{store.path}: going on from {Step.at(state.iteration, data.iterations_per_epoch).short}")
    else:
        state.running_metrics.zero_()  # those of the trunk's batches, which are another network's
    advance_to(end, store, state, data, hparams, reporter)
    store.write_tensors(model_file(state, data), state.tensors())
    result = {**about, **final_result(state, data, hparams), "model": model_file(state, data)}
    store.finish(result)
    return result


def model_file(state: TrainState, data: TrainingData) -> str:
    """The name of the file of the network at the state's step."""
    return files.model(Step.at(state.iteration, data.iterations_per_epoch))


def describe(store: Store, row: dict[str, Any], hparams: TrainingHparams) -> str:
    """A line of the log."""
    where = f"{store.path.parent.name}/{store.path.name}"
    return (
        f"{where}: {Step(row['step']).short} of {hparams.training_steps.short}, "
        f"test accuracy {row['test_accuracy']:.2%}, loss {row['test_loss']:.4f}"
    )
