"""The analysis of one network: children trained from it, what lies between them, and what follows from that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from foundations import files
from foundations.context import Context
from foundations.environment import verify
from foundations.run import store_of
from foundations.seeds import Seeds
from foundations.steps import Step
from foundations.store import Store
from lottery.changing_masks import check_changing, mask_updates
from lottery.masks import find_mask, record_mask
from pruning import ChangingMask, Mask
from pruning.prune import check_layers
from stability.children import Children, fresh_optimizer, start_of
from stability.comparison import Comparison, check_alignable
from stability.desc import AnalysisHparams, StabilityDesc
from stability.judge import Subject, chance_error, check_judged, judge
from stability.verdict import Verdict, read_verdict, stored, write_verdict
from training.data import TrainingData
from training.mask_updates import MaskUpdates
from training.state import TrainState
from training.trunk import Trunk


@dataclass(frozen=True)
class Analysis:
    """Instability analysis from one state (Frankle et al. 2020, arXiv 1912.05671, section 2).

    Args:
        subject: what is analysed.
        children: the trainings from it; ``interpolation.csv`` and ``instability.json`` lie beside their directories.
        mask: what they are masked by, if anything.
        full_network: the result of the full network trained for the same steps; trains it if need be.
        settings: how the children are compared.
    """

    subject: Subject
    children: Children
    mask: Mask | None
    full_network: Callable[[], dict[str, Any]]
    settings: AnalysisHparams

    def run(self) -> Verdict:
        """Trains and compares what has not been yet, and writes ``instability.json``; its content."""
        here, trunk = self.children.here, self.children.trunk
        if (known := stored(here, self.settings)) is not None:
            return known
        with here.lock(trunk.context.reporter):
            full = self.full_network()
            for number in range(1, self.settings.children + 1):
                self.children.train(number)
            measured = Comparison(self.children, self.mask, self.settings).run()
            chance = chance_error(trunk.data, self.settings.judge_by)
            verdict = judge(self.subject, measured, self.settings, full["test_accuracy"], chance)
            own = [name for name in (files.MASK, files.SPARSITY_REPORT) if here.has(name)]
            write_verdict(here, verdict, *own, *self.children.files(self.settings.children))
        return verdict


class StabilityRunner:
    """The analysis at one k. Those at several k share a directory, those of several strategies the trunk."""

    def __init__(
        self,
        desc: StabilityDesc,
        replicate: int,
        k: Step,
        data: TrainingData,
        context: Context,
        settings: AnalysisHparams | None = None,
        checkpoint: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.desc, self.data, self.context = desc, data, context
        self.settings = settings or AnalysisHparams()
        check_judged(self.settings, data)
        self.seeds = Seeds(replicate)
        self.trunk = Trunk(desc.train, replicate, data, context)
        self.trunk.check_step("k", k)
        if desc.pruning is not None:
            check_layers(self.trunk.fresh().model, desc.pruning)
        check_changing(desc.strategy, desc.pruning, self.trunk, k)
        self.k = Step.at(self.trunk.iteration(k), data.iterations_per_epoch)
        self.start = start_of(desc, self.trunk, checkpoint)
        if self.settings.align:
            check_alignable(self.trunk.fresh().model, data.shape, context)
        self.store = store_of(desc, replicate, context)
        self.here = self.store.sub(files.analysis(self.k))

    @property
    def done(self) -> bool:
        """Whether nothing is left to compute at these settings."""
        return stored(self.here, self.settings) is not None

    def run(self, store: Store | None = None) -> None:
        """Computes what is not there yet, and says so if nothing is missing."""
        verify(self.store, self.desc.code(), self.context, self.data.fingerprint)
        if self.done:
            self.context.reporter.say(f"Done before: {self.here.path}. Nothing was computed.")
            return
        self.compare()

    def result(self) -> Verdict:
        """The content of ``instability.json``."""
        return read_verdict(self.here)

    # Its parts, in the order in which they need each other -----------------------------------------------------

    @property
    def has_mask(self) -> bool:
        """Whether the mask at k is there, or none is needed."""
        return self.desc.strategy is None or (self.here.has(files.MASK) and self.here.has(files.SPARSITY_REPORT))

    def mask(self) -> Mask | None:
        """The mask at k, from disk or computed and written down with its sparsity report; None for the full network."""
        if self.desc.strategy is None:
            return None
        if not self.has_mask:
            self.begin()
            with self.here.lock(self.context.reporter):
                if not self.has_mask:
                    self._find_mask()
        return Mask.load(self.here / files.MASK, self.trunk.fresh().model)

    @property
    def full_network_done(self) -> bool:
        """Whether the full network is trained to the end."""
        return self.start.full_network_done(self.k)

    def full_network(self) -> dict[str, Any]:
        """Losses and accuracies of the full network, trained to the end; trains it if need be."""
        return self.start.full_network(self.k)

    @property
    def full_network_store(self) -> Store:
        """The directory of the full network."""
        return self.start.full_network_store(self.k)

    def child_store(self, number: int) -> Store:
        """The directory of a child."""
        return self._children().store(number)

    def child_done(self, number: int) -> bool:
        """Whether a child is trained."""
        return self._children().done(number)

    def train_child(self, number: int) -> None:
        """Trains one child and compares nothing; children may be trained by different processes."""
        self.begin()
        self.mask()
        self._children().train(number)

    def compare(self) -> Verdict:
        """Compares the children and judges, once what is missing of them, mask and full network is there, too."""
        self.begin()
        mask = self.mask()
        return Analysis(
            subject=Subject(self.k, self.desc.strategy_name, self._density()),
            children=self._children(),
            mask=mask,
            full_network=self.full_network,
            settings=self.settings,
        ).run()

    # How ---------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begins the run, or goes on with it."""
        with self.store.lock(self.context.reporter):  # else two that begin at once may record different threads
            self.trunk.begin(self.store, self.desc)

    def _children(self) -> Children:
        return Children(
            self.here, self.trunk, self._masked_start, self.desc.train.training, self.desc.perturb_hyperparameters,
            self._updates,
        )  # fmt: skip

    def _updates(self, state: TrainState) -> MaskUpdates | None:
        """How the mask of a child changes in training, if it does."""
        start, end = self.trunk.iteration(self.k), self.trunk.end
        return mask_updates(
            self.trunk, self.desc.strategy, self.desc.pruning, self.desc.density, start=start, end=end
        )  # fmt: skip

    def _masked_start(self) -> TrainState:
        """The state that the children start from, with the trunk's noise."""
        state = self.start.state_at(self.k)
        if self.desc.reset_optimizer:
            fresh_optimizer(state, self.trunk)
        if (mask := self.mask()) is not None:
            state.prune(mask)
        return state

    def _density(self) -> float:
        """What the mask keeps, ignored layers left out of the count."""
        if self.desc.strategy is None or isinstance(self.desc.strategy, ChangingMask):
            return self.desc.density
        return float(self.here.read_json(files.SPARSITY_REPORT)["density"])

    def _find_mask(self) -> None:
        strategy, pruning = self.desc.strategy, self.desc.pruning
        assert strategy is not None
        assert pruning is not None
        at_end = pruning.score_at == "end"
        model = self.start.trained(self.k) if at_end else self.start.state_at(self.k).model
        mask = find_mask(self.trunk, strategy, pruning, model, self.desc.density)
        start, end = self.trunk.iteration(self.k), self.trunk.end
        record_mask(self.here, mask, model, self.trunk, pruning, start=start, end=end)
        if not self.here.read_json(files.SPARSITY_REPORT)["has_path"]:
            self.context.reporter.warn(
                f"k={self.k.short}: {strategy.name} leaves no path from input to output; the children cannot learn"
            )
