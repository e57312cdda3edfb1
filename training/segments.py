"""Training that is written down: metrics on the way, and a checkpoint from which it goes on."""

import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NoReturn

from torch import nn

from foundations import files
from foundations.context import Context
from foundations.errors import UsageError
from foundations.formats import DIVERGED, Row
from foundations.reporting import RowAdded, Training
from foundations.steps import Step
from foundations.store import Store
from training.data import TrainingData
from training.hparams import TrainingHparams
from training.loop import train
from training.mask_updates import MaskUpdates
from training.metrics import Evaluations, early_stopping, evaluations, history, is_finite, keep, measure
from training.schedules import learning_rate
from training.state import TrainState

SECONDS = 5.0
"""Of work, between two checkpoints: the most that a kill loses, where checkpoints are quick."""
SHARE = 0.02
"""Of the time of a training that its checkpoints may take, where they are slow."""


class Pace:
    """A checkpoint is due after ``SECONDS`` of work, or later if at that pace they would take more than ``SHARE``.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ended, self._cost = clock(), 0.0

    def due(self) -> bool:
        return self._clock() - self._ended >= max(SECONDS, self._cost / SHARE)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Inside, a checkpoint is written; what that takes is its cost."""
        began = self._clock()
        yield
        self._ended = self._clock()
        self._cost = self._ended - began


BESIDE = (files.DESC, files.MASK, files.FIRST_MASK, files.MASK_UPDATES, files.SPARSITY_REPORT)
"""Files of a branch whose checksums its marker holds, where it has them, beside metrics and network."""


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
    change_at: Collection[int] = (),
    change: Callable[[TrainState], None] = lambda state: None,
) -> None:
    """Train ``state`` to iteration ``until``, calling ``save`` at each step of ``save_at`` on the way.

    These lie between the state's iteration and ``until``; ``start`` is the iteration at which the training began.
    At the steps of ``change_at``, unless the state is there already, ``change`` alters the state, before it is measured
    and saved.

    Every ``context.evaluate_every`` steps, counted from the trunk's first, and at the end of training a row is added to
    ``metrics.jsonl``: ``step``, ``iteration``, the loss and accuracy of the test set (``test_*``), of the validation
    set if there is one (``validation_*``), and of the batches of the current epoch so far, as trained on, augmented
    (``batch_*``; at the end of an epoch those of the whole one).

    The whole state goes to the checkpoint at ``until``, after the step in which the process is asked to stop, and
    every few seconds (see :class:`Pace`). A run that was killed goes on from there; rows of later steps are cut off and
    come again.

    Raises:
        Diverged: the loss is no longer finite, and the context does not allow that.
        Interrupted: the process was asked to stop; the checkpoint is written.
        UsageError: rows of metrics are missing.
    """
    per_epoch, end = data.iterations_per_epoch, hparams.training_steps.iteration(data.iterations_per_epoch)
    every = context.evaluate_every.iteration(per_epoch)
    reporter, asked, pace = context.reporter, context.interruption.asked, Pace(context.clock)

    def add(row: Row) -> None:
        rows.append(row)
        store.append_rows(files.METRICS, [row])

    def checkpoint() -> None:
        with pace.writing():
            store.write_state(files.CHECKPOINT, {**state.checkpoint(), **keep(rows)})

    def evaluate() -> None:
        row = measure(state, data, hparams)
        if not is_finite(row) and not context.allow_divergence:
            give_up(store, row, good, hparams, data)
        add(row)
        reporter.hear(RowAdded(store.path, row))
        if first_not_finite(rows):
            reporter.warn(f"{Step(row['step']).short}: the loss is no longer finite; try a smaller --lr")

    with context.interruption.deferred():
        rows = history(store, Evaluations(start, end, every), state.iteration, reporter)
        if not rows:
            add(measure(state, data, hparams))
        if state.iteration in save_at:
            if state.iteration == until:
                checkpoint()
            save(state)
        good = state.iteration
        shown = Training(
            path=store.path, first=state.iteration, until=until, iterations_per_epoch=per_epoch,
            batch_size=data.batch_size, last=rows[-1],
        )  # fmt: skip
        with reporter.during(shown) as advance:
            while state.iteration < until:
                stop = next_stop(state.iteration, per_epoch, every, (until, *save_at, *change_at))
                train(state, data, hparams, until=stop, advance=advance, asked=lambda: asked() or pace.due())
                there = state.iteration == stop
                finite = context.allow_divergence or bool(state.running_metrics[0].isfinite())
                if not finite and (there or asked()):
                    give_up(store, measure(state, data, hparams), good, hparams, data)
                if there and stop in change_at:
                    change(state)
                if there and (stop % every == 0 or stop == end) and stop > rows[-1]["iteration"]:
                    evaluate()
                stopping = asked()  # of a signal that comes later the next step's checkpoint takes care
                if finite and (state.iteration == until or stopping or pace.due()):
                    checkpoint()
                    good = state.iteration
                if there and stop in save_at:  # after the metrics, so that what is saved has them
                    save(state)
                if stopping:
                    step, run = Step.at(state.iteration, per_epoch).short, store.path
                    reporter.say(f"{run.parent.name}/{run.name}: stopped at {step}")
                    break


def next_stop(iteration: int, per_epoch: int, every: int, others: Iterable[int]) -> int:
    """Return the next iteration that ends an epoch, has an evaluation, or is one of ``others``."""
    regular = ((iteration // steps + 1) * steps for steps in (per_epoch, every))
    return min(*regular, *(other for other in others if other > iteration))


class Diverged(UsageError):
    """A training whose loss is no longer finite."""

    exit_code = 1


def give_up(store: Store, row: Row, good: int, hparams: TrainingHparams, data: TrainingData) -> NoReturn:
    """Write down that the training has diverged and raise :class:`Diverged`; the checkpoint stays as it is."""
    per_epoch = data.iterations_per_epoch
    store.append_rows(files.METRICS, [{**row, DIVERGED: True}])
    rate = learning_rate(hparams, row["iteration"] - 1, per_epoch)
    raise Diverged(
        f"{store.path} has diverged: at {Step(row['step']).short} its loss is not finite (learning rate {rate:g}; last "
        f"good checkpoint: {Step.at(good, per_epoch).short}).\n"
        "Try a smaller --lr, or go on all the same with --allow_divergence."
    )


def first_not_finite(rows: list[Row]) -> bool:
    """Return whether the last row is the first whose test loss is not finite (null, once it has been in a file)."""
    before, now = (row["test_loss"] for row in rows[-2:])
    return not math.isfinite(now) and before is not None and math.isfinite(before)


def final_result(
    state: TrainState, data: TrainingData, hparams: TrainingHparams, rows: Iterable[Row]
) -> dict[str, Any]:
    """Return loss and accuracy at the end of training, on the whole of every split, not augmented.

    With a validation set also what ``rows``, those of the training's metrics, say of early stopping.
    """
    return {
        "step": Step.at(state.iteration, data.iterations_per_epoch),
        **evaluations(state, data, hparams, ("test", "train")),
        **early_stopping(rows),
    }


def train_branch(
    store: Store,
    state: TrainState,
    data: TrainingData,
    hparams: TrainingHparams,
    context: Context,
    conclude: Callable[[TrainState], Mapping[str, Any]] = lambda state: {},
    updates: MaskUpdates | None = None,
    *,
    change_at: Collection[int] = (),
    change: Callable[[TrainState], None] = lambda state: None,
) -> dict[str, Any]:
    """Train a branch of the trunk from ``state``, or from where it was interrupted, to the end, and finishes it.

    Returns what it writes to ``done.json``: what ``conclude`` says of the state at the end, the final losses and
    accuracies, and the name of the final network's file, ``model_<end>.safetensors``. ``updates`` change the mask on
    the way; without them ``change`` alters the state at ``change_at``. Raises like :func:`advance_to`.
    """
    start, end = state.iteration, hparams.training_steps.iteration(data.iterations_per_epoch)
    if store.has(files.CHECKPOINT):
        resume(store, state, start, end)
        context.reporter.say(f"{store.path}: going on from {Step.at(state.iteration, data.iterations_per_epoch).short}")
    else:
        state.running_metrics.zero_()  # those of the trunk's batches, which are another network's
    if updates is None:
        advance_to(end, store, state, data, hparams, context, start=start, change_at=change_at, change=change)
    else:
        updates.begin(store, state)
        advance_to(
            end, store, state, data, hparams, context, start=start,
            change_at=updates.iterations, change=partial(updates.update, store, hparams),
        )  # fmt: skip
    store.write_tensors(model_file(state, data), state.tensors())
    final = final_result(state, data, hparams, store.read_rows(files.METRICS))
    result = {**conclude(state), **final, "model": model_file(state, data)}
    beside = [name for name in BESIDE if store.has(name)]
    store.finish(result, files.METRICS, model_file(state, data), *beside)
    return result


def resume(store: Store, state: TrainState, first: int, last: int) -> None:
    """Make ``state`` that of the checkpoint.

    Raises:
        UsageError: the checkpoint is damaged, another network's, or not between the iterations ``first`` and ``last``.
    """
    with store.intact(files.CHECKPOINT):
        state.restore(store.read_state(files.CHECKPOINT))
        if not first <= state.iteration <= last:
            raise ValueError(f"it is the state after {state.iteration} iterations, not {first} to {last}")


def load_network(store: Store, name: str, model: nn.Module) -> None:
    """Put a stored network into ``model``; ``UsageError`` if its file is damaged or another network's."""
    with store.intact(name):
        model.load_state_dict(store.read_tensors(name))


def model_file(state: TrainState, data: TrainingData) -> str:
    """Return the name of the file of the network at the state's step."""
    return files.model(Step.at(state.iteration, data.iterations_per_epoch))
