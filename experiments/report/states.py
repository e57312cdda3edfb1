"""How the trainings behind a number ended, so that none is left out of a count."""

from collections import Counter
from collections.abc import Sequence

from experiments.directory import Part
from foundations import files
from foundations.store import Store

DONE, COLLAPSED, DIVERGED, UNFINISHED = "done", "collapsed", "diverged", "unfinished"
STATES = (DONE, COLLAPSED, DIVERGED, UNFINISHED)
"""``collapsed``: no path from input to output is left; it has a result only with --allow_collapse."""


def state_of(here: Store, marker: str = files.DONE) -> str:
    """How a training or an analysis with its own mask ended.

    Args:
        here: its directory.
        marker: the file that is written last.
    """
    part = Part("", here, marker)
    if not part.has_path:
        return COLLAPSED
    word = part.state.word
    return word if word in STATES else UNFINISHED


def effective_density(here: Store) -> float | None:
    """What a sparsity report says of weights on a path; None without a report, or in one of an older program."""
    report = here.read_json(files.SPARSITY_REPORT) if here.has(files.SPARSITY_REPORT) else {}
    density: float | None = report.get("effective_density")
    return density


def count(states: Sequence[str], results: int) -> str:
    """``n=3``, or what became of the others: ``2 of 3; 1 collapsed``.

    Args:
        states: of all replicates.
        results: how many of them have a result.
    """
    total = len(states)
    numbers = Counter(state for state in states if state != DONE)
    parts = [f"n={total}" if results == total else f"{results} of {total}"]
    return "; ".join([*parts, *(f"{numbers[state]} {state}" for state in STATES if numbers[state])])
