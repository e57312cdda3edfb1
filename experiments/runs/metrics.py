"""What rows of metrics and of interpolation.csv say: how long epochs are, and whether rows are lost."""

import itertools
from collections.abc import Iterable

from foundations import files
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.recovery import advise, rows_in_header
from foundations.steps import Step
from foundations.store import Store


def whole_metrics(store: Store) -> list[Row]:
    """Return the metrics of a training; ``UsageError`` if they are damaged, or end before what is saved of it."""
    if lacking := lacking_metrics(store):
        raise UsageError(f"{store / files.METRICS} {lacking}.\n{advise(store, files.METRICS).text}")
    return store.read_rows(files.METRICS)


def lacking_metrics(store: Store) -> str:
    """Return which rows of metrics a training that is not done has lost, as far as its states show; empty if none.

    The checkpoint has all rows up to its step. A state that was saved later lies at most one evaluation after the last
    row; how often there is an evaluation is seen in the rows themselves.
    """
    if store.has(files.DONE):
        return ""
    kept = rows_in_header(store / files.CHECKPOINT)
    saved = furthest(filter(None, (files.step_of_optimizer(path.name) for path in store.path.glob("optimizer_*"))))
    rows = store.read_rows(files.METRICS)  # last, since a process may be adding some
    there = {row["iteration"] for row in rows}
    if any(row["iteration"] not in there for row in kept):
        return "lacks evaluations that the checkpoint has"
    if saved is None or (rows and Step(rows[-1]["step"]).order >= saved.order):
        return ""
    if not rows:
        return f"has no rows, although the state at {saved.short} is saved"
    last = rows[-1]["iteration"]
    gaps = [after["iteration"] - before["iteration"] for before, after in itertools.pairwise(rows)]
    if not gaps:  # how often there is an evaluation is not known
        return ""
    per_epoch = epoch_length(rows) or last + 1  # at the least, where no row is of the end of an epoch
    too_early = saved.iteration(per_epoch) - last >= max(gaps)
    return f"ends before {saved.short}, whose state is saved" if too_early else ""


def epoch_length(rows: Iterable[Row]) -> int | None:
    """Return the iterations of an epoch, read off rows of metrics; None if none is of an epoch's end or later."""
    for row in rows:
        epochs, iterations = Step(row["step"]).order
        if epochs:
            return int((row["iteration"] - iterations) // epochs)
    return None


def iterations_per_epoch(*trainings: Store) -> int:
    """Return what the metrics of trainings show; of trainings that end within an epoch the iterations that they have.

    Damaged metrics are passed over.
    """
    longest = 1
    for training in trainings:
        try:
            rows = training.read_rows(files.METRICS)
        except (UsageError, OSError):
            continue
        if (length := epoch_length(rows)) is not None:
            return length
        longest = max([longest, *(row["iteration"] for row in rows)])
    return longest


def lacking_points(store: Store) -> str:
    """Return what is wrong with interpolation.csv: points that the verdict beside it rests on; empty if nothing."""
    verdict, rows = store.read_json(files.INSTABILITY), store.read_table(files.INTERPOLATION)
    try:
        treatments = verdict["pairs"][0]["error_barrier"]["test"] if verdict["pairs"] else ()
        last = verdict["analysis"]["alphas"] - 1
        how = [verdict["analysis"][name] for name in ("align_by", "align_to") if name in verdict["analysis"]]
        treatments = ["_".join((name, *how)) if name.startswith("aligned") else name for name in treatments]
        wanted = {
            (*pair["children"], index / last, split, treatment, verdict["examples"][split])
            for pair in verdict["pairs"] for index in range(last + 1)
            for split in pair["error_barrier"] for treatment in treatments
        }  # fmt: skip
        numbers, images = ("first_child", "second_child", "alpha"), (0, verdict["examples"]["batchnorm"])
        found = {
            (*(float(row[name]) for name in numbers), row["split"], row["batchnorm"], int(row["examples"]))
            for row in rows if int(row["batchnorm_examples"]) in images
        }  # fmt: skip
    except (LookupError, TypeError, ValueError) as error:
        return f"cannot be read ({error})"
    return f"lacks {len(wanted - found)} of the {len(wanted)} points that {files.INSTABILITY} rests on" * bool(
        wanted - found)


def furthest(steps: Iterable[Step]) -> Step | None:
    return max(steps, key=lambda step: step.order, default=None)
