"""From what was measured between children to a verdict."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from foundations.averages import average, standard_deviation
from foundations.errors import UsageError
from foundations.steps import Step
from stability.barrier import barrier, has_learned, is_stable, over_children
from stability.comparison import Measured
from stability.desc import AnalysisHparams
from stability.rows import TREATMENTS, LinePoint
from stability.verdict import Barriers, Distances, Pair, Treatments, Verdict
from training.data import TrainingData


@dataclass(frozen=True)
class Subject:
    """What is analysed: a network at a step."""

    k: Step
    strategy: str
    density: float
    level: int | None = None
    """In a lottery run."""


def judge(
    subject: Subject,
    measured: Measured,
    settings: AnalysisHparams,
    full_network_accuracy: float,
    chance: float,
) -> Verdict:
    """Barriers and their means over the pairs, and whether that is stable."""
    rows = measured.rows
    pairs = [with_barriers(pair, rows) for pair in measured.distances]
    error_barrier = over_pairs([pair.error_barrier for pair in pairs], average)
    splits = error_barrier.splits
    errors = {split: child_values(rows, split, "error", settings.children) for split in splits}
    judged = {pair.children: pair.error_barrier.at(settings.judge_by, "raw") for pair in pairs}
    interval = over_children(judged)
    learned = has_learned(errors[settings.judge_by], chance)
    accuracy = 1 - sum(errors["test"]) / settings.children
    return Verdict(
        k=subject.k,
        strategy=subject.strategy,
        level=subject.level,
        density=subject.density,
        threshold=settings.threshold,
        stable=is_stable(error_barrier.at(settings.judge_by, "raw"), settings.threshold, learned, interval),
        learned=learned,
        child_error=errors,
        child_loss={split: child_values(rows, split, "loss", settings.children) for split in splits},
        error_barrier=error_barrier,
        error_barrier_interval=interval,
        loss_barrier=over_pairs([pair.loss_barrier for pair in pairs], average),
        error_barrier_deviation=over_pairs([pair.error_barrier for pair in pairs], standard_deviation),
        loss_barrier_deviation=over_pairs([pair.loss_barrier for pair in pairs], standard_deviation),
        full_network_accuracy=full_network_accuracy,
        child_accuracy=accuracy,
        accuracy_gap=full_network_accuracy - accuracy,
        ensemble_accuracy=measured.ensemble_accuracy,
        analysis=settings,
        examples={
            **{split: next(row.examples for row in rows if row.split == split) for split in splits},
            "batchnorm": max(row.batchnorm_examples for row in rows),
        },
        children=measured.children,
        pairs=pairs,
    )


def with_barriers(pair: Distances, rows: Sequence[LinePoint]) -> Pair:
    own = [row for row in rows if (row.first_child, row.second_child) == pair.children]
    return Pair(**vars(pair), error_barrier=barriers(own, "error"), loss_barrier=barriers(own, "loss"))


def barriers(rows: Sequence[LinePoint], what: str) -> Barriers:
    """Return the barrier of ``error`` or ``loss`` on one line, by split and treatment."""
    return by_split_and_treatment(
        {row.split for row in rows},
        lambda split, treatment: barrier(
            [getattr(row, what) for row in rows if (row.split, row.batchnorm) == (split, treatment)]
        ),
    )


def over_pairs(pairs: Sequence[Barriers], how: Callable[[list[float | None]], float | None]) -> Barriers:
    return by_split_and_treatment(
        pairs[0].splits, lambda split, treatment: how([pair.at(split, treatment) for pair in pairs])
    )


def by_split_and_treatment(splits: Iterable[str], number: Callable[[str, str], float | None]) -> Barriers:
    return Barriers(
        **{split: Treatments(**{treatment: number(split, treatment) for treatment in TREATMENTS}) for split in splits}
    )


def child_values(rows: Sequence[LinePoint], split: str, what: str, children: int) -> list[Any]:
    """Return the raw error or loss of each child: the ends of the lines."""
    values = {}
    for row in rows:
        if row.split == split and row.batchnorm == "raw" and row.alpha in (0, 1):
            values[row.second_child if row.alpha else row.first_child] = getattr(row, what)
    return [values[number] for number in range(1, children + 1)]


def check_judged(settings: AnalysisHparams, data: TrainingData) -> None:
    """Raise ``UsageError`` if there are no images such as ``settings`` judge by."""
    if settings.judge_by not in data.sizes:
        raise UsageError(f"--judge_by={settings.judge_by}: there is no validation set; give --validation_fraction")


def chance_error(data: TrainingData, split: str = "test") -> float:
    """Return the error of always answering with the most frequent class."""
    labels = data.labels[split]
    return 1 - int(labels.bincount().max()) / len(labels)
