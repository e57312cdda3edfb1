"""What an instability analysis depends on, and what is only a way of looking at it."""

from dataclasses import dataclass, replace
from typing import ClassVar

from foundations.desc import Desc
from foundations.errors import UsageError
from foundations.hparams import Hparams, hp, tagged
from foundations.steps import Step
from pruning import PruningHparams, Strategy, strategies
from stability.rows import ALIGNED
from training.hparams import TrainDesc
from training.metrics import VALIDATION


@dataclass(frozen=True, kw_only=True)
class ChildrenHparams(Hparams):
    """How children are trained."""

    reset_optimizer: bool = hp(False)
    """Start the children with a fresh optimizer, as open_lth does, instead of the trunk's at k."""
    perturb_hyperparameters: float = hp(0.0, within="[0, 1)")
    """Draw learning rate and weight decay of all children but the first from a normal of this relative deviation."""
    perturb_weights: float = hp(0.0, within="[0, inf)", absent=0.0)
    """Give all children the same SGD noise, and all but the first a random perturbation of the weights of this relative
    size, such as 1e-3: how sensitive is training itself?"""
    perturb_at: Step | None = hp(None, absent=None)
    """Step at which weights are perturbed; default: k."""


@dataclass(frozen=True, kw_only=True)
class StabilityDesc(ChildrenHparams, Desc):
    """Children trained from step k to the end with different SGD noise, pruned at k or not.

    The step k is not part of it, nor is anything of :class:`AnalysisHparams`: a curve over k is one experiment.
    """

    kind: ClassVar[str] = "stability"
    train: TrainDesc
    strategy: Strategy | None = tagged(strategies)
    """What prunes at k; None for the full network."""
    pruning: PruningHparams | None = None
    """None exactly when the strategy is."""
    checkpoint: str = hp("", absent="")
    """Digest of the weights that take the place of the trunk at k; empty for the trunk itself."""

    @property
    def strategy_name(self) -> str:
        return "none" if self.strategy is None else self.strategy.name

    @property
    def density(self) -> float:
        return 1.0 if self.pruning is None else float(1 - self.pruning.pruning_fraction)

    @property
    def full_network(self) -> "StabilityDesc":
        """The analysis of the full network, to which the network belongs that children from a checkpoint are
        compared with."""
        return replace(self, strategy=None, pruning=None, **vars(ChildrenHparams()))

    def code(self) -> tuple[object, ...]:
        return (*self.train.code(), *(() if self.strategy is None else (type(self.strategy),)))


@dataclass(frozen=True, kw_only=True)
class AnalysisHparams(Hparams):
    """How the trained children are compared. None of it is in a run's key: no change trains anything again."""

    children: int = hp(2, within="[2, inf)")
    """Networks trained from each k; every pair of them is compared."""
    alphas: int = hp(30, within="[2, inf)")
    """Evenly spaced points on the line between two children, ends included."""
    threshold: float = hp(0.02, within="(0, 1)")
    """A network is stable at k if its raw error barrier on the test set is below this."""
    judge_by: str = hp("test", choices=("test", VALIDATION), absent="test")
    """The images on which the barrier decides what is stable; validation takes --validation_fraction."""
    interpolation_examples: int = hp(10_000, within="[1, inf)")
    """Training images that the barrier on the training set is measured on; the test set is always whole."""
    batchnorm_examples: int = hp(2_000, within="[2, inf)")
    """Training images from which BatchNorm's statistics are recalculated at every alpha."""
    align: bool = hp(False, absent=False)
    """Also walk the line to the second child with its channels permuted to match the first's: barriers aligned, and
    aligned with the statistics of activations restored."""
    align_by: str = hp("weights", choices=("weights", "activations"), absent="weights")
    """What corresponding channels have in common: their weights, or what they answer to training images."""
    align_to: str = hp("each_other", choices=("each_other", "first"), absent="each_other")
    """What is aligned: the second child of each pair to its first, or all children to child 1."""
    plane: int = hp(0, absent=0, within="[0, 201]")
    """Also measure error and loss on the plane through the start and the first two children, on a grid with so many
    points a side; 0: no plane. 21 are 441 networks, where a line has 30."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plane == 1:
            raise UsageError("--plane=1: expected 0 or at least 2 points a side")
        for name, usual in (("align_by", "weights"), ("align_to", "each_other")):
            if not self.align and getattr(self, name) != usual:
                raise UsageError(f"--{name}={getattr(self, name)}: nothing is aligned; give --align, too")

    @property
    def aligned(self) -> tuple[str, str]:
        """What ``interpolation.csv`` calls the treatments ``ALIGNED``: with how, unless that is the default."""
        how = [value for value in (self.align_by, self.align_to) if value not in ("weights", "each_other")]
        plain, recalculated = ("_".join((name, *how)) for name in ALIGNED)
        return plain, recalculated
