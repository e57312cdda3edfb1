"""An instability analysis as a run: the trunk at k, pruned or not, and its children."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from foundations.context import Context
from foundations.environment import verify
from foundations.errors import UsageError
from foundations.files import INSTABILITY, MASK, SPARSITY_REPORT
from foundations.runner import begin, store_of
from foundations.seeds import Seeds
from foundations.steps import Step
from foundations.store import Store
from lottery.masks import find_mask, record_mask
from pruning import Mask
from stability.analysis import Analysis, stored
from stability.desc import AnalysisHparams, StabilityDesc
from stability.start import fresh_optimizer, start_of
from training.data import DeviceData
from training.state import TrainState
from training.trunk import Trunk


class StabilityRunner:
    """The analysis at one k. Those at several k share a directory, those of several strategies the trunk."""

    def __init__(
        self,
        desc: StabilityDesc,
        replicate: int,
        k: Step,
        data: DeviceData,
        context: Context,
        settings: AnalysisHparams | None = None,
        checkpoint: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.desc, self.data, self.context = desc, data, context
        self.settings = settings or AnalysisHparams()
        self.seeds = Seeds(replicate)
        self.trunk = Trunk(desc.train, replicate, data, context)
        if self.trunk.iteration(k) > self.trunk.end:
            raise UsageError(f"--k={k.short}: beyond --training_steps={desc.train.training.training_steps.short}")
        self.k = Step.at(self.trunk.iteration(k), data.iterations_per_epoch)
        self.start = start_of(desc, self.trunk, checkpoint)
        self.store = store_of(desc, replicate, context)
        self.here = self.store.sub(f"k_{self.k}")

    @property
    def done(self) -> bool:
        """Whether nothing is left to compute at these settings."""
        return stored(self.here, self.settings) is not None

    def run(self, store: Store | None = None) -> None:
        """Computes what is not there yet."""
        verify(self.store, self.desc.code(), self.context, self.data.fingerprint)
        if self.done:
            self.context.reporter.say(f"Done before: {self.here.path}. Nothing was computed.")
            return
        begin(self.store, self.desc, self.context, self.data.fingerprint)
        self.analysis().run()

    def result(self) -> dict[str, Any]:
        """The content of ``instability.json``."""
        result: dict[str, Any] = self.here.read_json(INSTABILITY)
        return result

    def reach(self) -> None:
        """Sees to it that the trunk is saved at k."""
        verify(self.store, self.desc.code(), self.context, self.data.fingerprint)
        begin(self.store, self.desc, self.context, self.data.fingerprint)
        self.start.state_at(self.k)

    def prepare(self) -> None:
        """Computes all that the children share and the full network, so that they can be trained by themselves."""
        self.reach()
        self.start.full_network(self.k)
        self.mask()

    def train_child(self, number: int) -> None:
        """Trains one child and compares nothing; children may be trained by different processes."""
        begin(self.store, self.desc, self.context, self.data.fingerprint)
        self.analysis().children.train(number)

    def analysis(self) -> Analysis:
        """The analysis from the mask on, which is found here if it is not on disk."""
        mask = self.mask()

        def start() -> TrainState:
            state = self.start.state_at(self.k)
            if self.desc.reset_optimizer:
                fresh_optimizer(state, self.trunk)
            if mask is not None:
                state.prune(mask)
            return state

        return Analysis(
            here=self.here,
            k=self.k,
            start=start,
            full_network=lambda: self.start.full_network(self.k),
            facts={"strategy": self.desc.strategy_name, "density": self._density()},
            mask=mask,
            seeds=self.seeds,
            data=self.data,
            hparams=self.desc.train.training,
            perturbation=self.desc.perturb_hyperparameters,
            settings=self.settings,
            context=self.context,
        )

    def mask(self) -> Mask | None:
        """The mask at k, from disk or computed and written down with its sparsity report; None for the full network."""
        if self.desc.strategy is None:
            return None
        if not self.here.has(MASK):
            with self.here.lock(self.context.reporter):
                if not self.here.has(MASK):
                    self._find_mask()
        return Mask.load(self.here / MASK)

    def _density(self) -> float:
        """What the mask keeps, ignored layers left out of the count."""
        return 1.0 if self.desc.strategy is None else float(self.here.read_json(SPARSITY_REPORT)["density"])

    def _find_mask(self) -> None:
        strategy, pruning = self.desc.strategy, self.desc.pruning
        assert strategy is not None
        assert pruning is not None
        at_end = pruning.score_at == "end"
        model = self.start.trained(self.k) if at_end else self.start.state_at(self.k).model
        mask = find_mask(self.trunk, strategy, pruning, model, self.desc.density)
        start, end = self.trunk.iteration(self.k), self.trunk.end
        record_mask(self.here, mask, model, self.trunk, pruning, start=start, end=end)
        if not self.here.read_json(SPARSITY_REPORT)["has_path"]:
            self.context.reporter.warn(
                f"k={self.k.short}: {strategy.name} leaves no path from input to output; the children cannot learn"
            )
