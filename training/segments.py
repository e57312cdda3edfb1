"""Training that is written down: metrics by epoch, and a checkpoint from which it goes on."""

import math
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

from torch import nn

from foundations import files
from foundations.context import Context
from foundations.errors import UsageError
from foundations.steps import Step
from foundations.store import Store
from training.data import TrainingData
from training.hparams import TrainingHparams
from training.loop import arithmetic, evaluate, train
from training.metrics import DIVERGED, Row, history, is_finite, keep, measure
from training.schedules import learning_rate
from training.state import TrainState


def advance_to(
    until: int,
    store: Store,
    state: TrainState,
    data: TrainingData,
    hparams: TrainingHparams,
    context: Context,
    *,
    start: int = 0,
    save_at: Collection[int] = (),
    save: Callable[[TrainState], None] = lambda state: None,
) -> None:
    """Trains ``state`` to iteration ``until`` in segments that end with each epoch and at each step of ``save_at``.

    These lie between the state's iteration and ``until``; ``start`` is the iteration at which the training began.

    At the end of an epoch a row is added to ``metrics.jsonl`` and the whole state goes to ``checkpoint.safetensors``;
    a run that was killed goes on from there. One that is asked to stop writes its checkpoint after the step it is in. A
    row holds ``step``, ``iteration``, the loss and accuracy of the epoch's own batches (``batch_*``, as trained on,
    augmented) and of the test set (``test_*``).

    Raises:
        Diverged: the loss is no longer finite, and the context does not allow that.
        Interrupted: the process was asked to stop; the checkpoint is written.
        UsageError: rows of metrics are missing.
    """
    per_epoch, end = data.iterations_per_epoch, hparams.training_steps.iteration(data.iterations_per_epoch)
    reporter, asked = context.reporter, context.interruption.asked
    with context.interruption.deferred():
        rows = history(store, start, state.iteration, end, per_epoch, reporter)
        if not rows:
            rows.append(measure(state, data, hparams))
            store.write_rows(files.METRICS, rows)
        good = state.iteration
        ends = {stop for stop in (*range(per_epoch, until, per_epoch), until) if stop > state.iteration}
        with reporter.progress(name_of(store), until - state.iteration, "it") as advance:
            for stop in sorted(ends | set(save_at)):
                train(state, data, hparams, until=stop, advance=advance, asked=asked)
                there = state.iteration == stop
                if not context.allow_divergence and not state.running_metrics[0].isfinite():
                    give_up(store, rows, measure(state, data, hparams), good, hparams, data)
                if there and (stop % per_epoch == 0 or stop == end) and stop > rows[-1]["iteration"]:
                    row = measure(state, data, hparams)
                    if not is_finite(row) and not context.allow_divergence:
                        give_up(store, rows, row, good, hparams, data)
                    rows.append(row)
                    store.write_rows(files.METRICS, rows)
                    reporter.say(describe(store, row, hparams))
                    if first_not_finite(rows):
                        reporter.warn(f"{Step(row['step']).short}: the loss is no longer finite; try a smaller --lr")
                if there and stop in save_at:  # after the metrics, so that what is saved has them
                    save(state)
                if stop % per_epoch == 0 or stop == until or asked():
                    store.write_state(files.CHECKPOINT, {**state.checkpoint(), **keep(rows)})
                    good = state.iteration
                if asked():
                    reporter.say(f"{name_of(store)}: stopped at {Step.at(state.iteration, per_epoch).short}")
                    break


class Diverged(UsageError):
    """A training whose loss is no longer finite."""

    exit_code = 1


def give_up(
    store: Store, rows: list[Row], row: Row, good: int, hparams: TrainingHparams, data: TrainingData
) -> NoReturn:
    """Writes down that the training has diverged and raises :class:`Diverged`; the checkpoint stays as it is."""
    per_epoch = data.iterations_per_epoch
    store.write_rows(files.METRICS, [*rows, {**row, DIVERGED: True}])
    rate = learning_rate(hparams, row["iteration"] - 1, per_epoch)
    raise Diverged(
        f"{store.path} has diverged: at {Step(row['step']).short} its loss is not finite (learning rate {rate:g}; last "
        f"good checkpoint: {Step.at(good, per_epoch).short}).\n"
        "Try a smaller --lr, or go on all the same with --allow_divergence."
    )


def first_not_finite(rows: list[Row]) -> bool:
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
    context: Context,
    about: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Trains a branch of the trunk from ``state``, or from where it was interrupted, to the end, and finishes it.

    Returns what it writes to ``done.json``: ``about``, the final losses and accuracies, and the name of the final
    network's file, ``model_<end>.safetensors``. Raises like :func:`advance_to`.
    """
    start, end = state.iteration, hparams.training_steps.iteration(data.iterations_per_epoch)
    if store.has_state(files.CHECKPOINT):
        resume(store, state, start, end)
        context.reporter.say(f"{store.path}: going on from {Step.at(state.iteration, data.iterations_per_epoch).short}")
    else:
        state.running_metrics.zero_()  # those of the trunk's batches, which are another network's
    advance_to(end, store, state, data, hparams, context, start=start)
    store.write_tensors(model_file(state, data), state.tensors())
    result = {**about, **final_result(state, data, hparams), "model": model_file(state, data)}
    beside = [name for name in (files.DESC, files.MASK, files.SPARSITY_REPORT) if store.has(name)]
    store.finish(result, files.METRICS, model_file(state, data), *beside)
    return result


def resume(store: Store, state: TrainState, first: int, last: int) -> None:
    """``state`` becomes that of the checkpoint.

    Raises:
        UsageError: the checkpoint is damaged, another network's, or not between the iterations ``first`` and ``last``.
    """
    with store.intact(store.state_file(files.CHECKPOINT)):
        state.restore(store.read_state(files.CHECKPOINT))
        if not first <= state.iteration <= last:
            raise ValueError(f"it is the state after {state.iteration} iterations, not {first} to {last}")


def load_network(store: Store, name: str, model: nn.Module) -> None:
    """Puts a stored network into ``model``; ``UsageError`` if its file is damaged or another network's."""
    with store.intact(name):
        model.load_state_dict(store.read_tensors(name))


def model_file(state: TrainState, data: TrainingData) -> str:
    """The name of the file of the network at the state's step."""
    return files.model(Step.at(state.iteration, data.iterations_per_epoch))


def name_of(store: Store) -> str:
    """What a training is called in progress bars and the log."""
    return f"{store.path.parent.name}/{store.path.name}"


def describe(store: Store, row: Row, hparams: TrainingHparams) -> str:
    """A line of the log."""
    return (
        f"{name_of(store)}: {Step(row['step']).short} of {hparams.training_steps.short}, "
        f"test accuracy {row['test_accuracy']:.2%}, loss {row['test_loss']:.4f}"
    )
