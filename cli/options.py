"""The flags that say where and how a run is computed, or which part of it; none of them is in a run's key."""

from dataclasses import dataclass, field
from typing import Any

from foundations.hparams import Hparams, hp
from foundations.steps import Step


def repeatable() -> Any:
    """A field whose flag may be given several times."""
    return field(default=(), metadata={"repeatable": True})


@dataclass(frozen=True, kw_only=True)
class RunOptions(Hparams):
    """Flags that every experiment has."""

    recipe: str | None = hp(None)
    """Defaults to start from: the model's and data set's own, or a named one (open_lth)."""
    replicate: int = hp(1, within="[1, inf)")
    """Number of the repetition, which all random numbers depend on; 1-3 or 1,4 for several."""
    root: str = hp("runs")
    """Directory of all runs; also $ADSYNFLOW_ROOT."""
    data_dir: str = hp("data")
    """Directory of the data sets; also $ADSYNFLOW_DATA."""
    device: str = hp("auto")
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = hp(None, within="[1, inf)")
    """Threads on a CPU; a run that goes on keeps the number it began with. Default: PyTorch's."""
    jobs: int = hp(1, within="[1, inf)")
    """Processes that compute at once, each with --threads threads (default: this machine's, shared out): the runs
    that lists expand to, or the children of stability."""
    deterministic: bool = hp(False)
    """Same bits each time on CUDA too, at some cost in speed. On a CPU that is always so."""
    quiet: bool = hp(False)
    """Print nothing but warnings and the result."""
    plugin: tuple[str, ...] = repeatable()
    """A file or module that registers strategies, models, data sets, branches or recipes; may be repeated."""
    display_output_location: bool = hp(False)
    """Print the run's directory and do nothing else."""


@dataclass(frozen=True, kw_only=True)
class LotteryOptions(Hparams):
    """Which part of a lottery-ticket experiment is run, and how far it prunes."""

    pruning_strategy: str = hp("adsynflow")
    """How weights are chosen; a,b for several over the one trunk."""
    levels: tuple[int, ...] = hp((1,), within="[0, inf)")
    """Levels to train: 3, 1,3 or 0-3; 0 is the full network."""
    density: float | None = hp(None, within="(0, 1)")
    """What the last level keeps of the prunable weights; the fraction per level follows from it."""
    k: Step | None = hp(None)
    """Step from which the subnetwork is trained, and at which it is found unless --score_at=end; auto runs
    stability first, whose flags then apply too, and takes the smallest stable one."""
    reset_optimizer: bool = hp(False)
    """Start subnetworks with a fresh optimizer, as open_lth does, instead of the trunk's at k."""
    compact: bool = hp(False)
    """Train subnetworks at their true size: same results, faster where few channels are left."""
    allow_collapse: bool = hp(False)
    """Train even a subnetwork that has no path left from input to output."""
