"""The analysis of one network: children trained from it, what lies between them, and what follows from that."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from foundations import files
from foundations.errors import UsageError
from foundations.run import store_of
from foundations.steps import Step
from foundations.store import Store
from lottery.changing_masks import check_changing, mask_updates
from lottery.masks import find_mask, record_mask, trained_network
from pruning import ChangingMask, Mask
from pruning.prune import check_layers
from stability.alignment import check_alignable
from stability.barrier import Subject, chance_error, check_judged, judge
from stability.children import Children, Perturbation
from stability.comparison import ChildComparison
from stability.desc import AnalysisHparams, StabilityDesc
from stability.verdict import Verdict, read_verdict, stored, write_verdict
from training.imported import load_weights
from training.mask_updates import MaskUpdates
from training.optimizers import make_optimizer
from training.segments import load_network, model_file, train_branch
from training.state import TrainState
from training.trunk import Trunk


def analyse(
    subject: Subject,
    children: Children,
    mask: Mask | None,
    full_network: Callable[[], dict[str, Any]],
    settings: AnalysisHparams,
) -> Verdict:
    """Train the children of a state, compare them and judge: instability analysis (Frankle et al. 2020, section 2).

    arXiv 1912.05671. What has been done before is not done again.

    Returns:
        The content of ``instability.json``.
    """
    here, trunk = children.here, children.trunk
    if (known := stored(here, settings)) is not None:
        return known
    with here.lock(trunk.context.reporter):
        full = full_network()
        for number in range(1, settings.children + 1):
            children.train(number)
        measured = ChildComparison(children, mask, settings).run()
        verdict = judge(subject, measured, settings, full["test_accuracy"], chance_error(trunk.data, settings.judge_by))
        own = [name for name in (files.MASK, files.SPARSITY_REPORT) if here.has(name)]
        write_verdict(here, verdict, *own, *children.files(settings.children))
    return verdict


class AnalysisAtK:
    """The analysis at one k. Those at several k share a directory, those of several strategies the trunk.

    With a checkpoint, its weights are the network at k, and the optimizer is fresh, since no state of it came with
    them. The full network to compare with is then trained from there with the trunk's SGD noise. It belongs to the
    analysis of the full network, which shares it with those of all strategies.

    Args:
        desc: what the children depend on.
        trunk: the dense training.
        k: the step at which the children start.
        settings: how many there are, and how they are compared.
        checkpoint: weights that take the place of the trunk at k, if any.

    Raises:
        UsageError: data or model do not allow it; nothing has been computed yet.
    """

    def __init__(
        self,
        desc: StabilityDesc,
        trunk: Trunk,
        k: Step,
        settings: AnalysisHparams | None = None,
        checkpoint: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.desc, self.trunk, self.checkpoint = desc, trunk, checkpoint
        self.settings = settings or AnalysisHparams()
        check_judged(self.settings, trunk.data)
        trunk.check_step("k", k)
        if desc.pruning is not None:
            check_layers(trunk.fresh().model, desc.pruning)
        check_changing(desc.strategy, desc.pruning, trunk, k)
        check_perturbation(desc, trunk, k)
        self.k = Step.at(trunk.iteration(k), trunk.per_epoch)
        if checkpoint is not None:
            load_weights(trunk.fresh().model, checkpoint)  # refuses those of another network
        if self.settings.align:
            check_alignable(trunk.fresh().model, trunk.data.shape, trunk.context)
        self.store = store_of(desc, trunk.seeds.replicate, trunk.context)
        self.here = self.store.sub(files.analysis(self.k))

    def begin(self) -> None:
        """Begin the run, or go on with it."""
        with self.store.lock(self.trunk.context.reporter):  # else two that begin at once may record different threads
            self.trunk.begin(self.store, self.desc)

    # The network at k, and what becomes of it unpruned -----------------------------------------------------------

    def state_at_k(self) -> TrainState:
        """Return the full network at k, with the trunk's noise."""
        if self.checkpoint is None:
            return self.trunk.state_at(self.k)
        state = self.trunk.fresh()
        load_weights(state.model, self.checkpoint)
        state.iteration = self.trunk.iteration(self.k)
        return state

    @property
    def full_network_store(self) -> Store:
        if self.checkpoint is None:
            return self.trunk.store
        run = store_of(self.desc.full_network, self.trunk.seeds.replicate, self.trunk.context)
        return run.sub(files.analysis(self.k)).sub(files.FULL_NETWORK)

    def full_network(self) -> dict[str, Any]:
        """Return losses and accuracies of the full network, trained to the end; train it if need be."""
        if self.checkpoint is None:
            return self.trunk.finish()
        here, reporter, desc = self.full_network_store, self.trunk.context.reporter, self.desc.full_network
        if not here.done:
            run = store_of(desc, self.trunk.seeds.replicate, self.trunk.context)
            with run.lock(reporter):
                self.trunk.begin(run, desc)
            with here.lock(reporter):
                if not here.done:  # by another process, meanwhile
                    state, training = self.state_at_k(), self.trunk.desc.training
                    train_branch(here, state, self.trunk.data, training, self.trunk.context)
        return here.result()

    def _trained(self) -> nn.Module:
        if self.checkpoint is None:
            return trained_network(self.trunk)
        self.full_network()
        state = self.trunk.fresh()
        state.iteration = self.trunk.end
        load_network(self.full_network_store, model_file(state, self.trunk.data), state.model)
        return state.model

    # The children's mask -----------------------------------------------------------------------------------------

    @property
    def has_mask(self) -> bool:
        """Whether the mask at k is there, or none is needed."""
        return self.desc.strategy is None or (self.here.has(files.MASK) and self.here.has(files.SPARSITY_REPORT))

    def mask(self) -> Mask | None:
        """Return the mask at k, from disk or found and written down; None for the full network."""
        if self.desc.strategy is None:
            return None
        if not self.has_mask:
            self.begin()
            with self.here.lock(self.trunk.context.reporter):
                if not self.has_mask:  # by another process, meanwhile
                    self._find_mask()
        return Mask.load(self.here / files.MASK, self.trunk.fresh().model)

    def _find_mask(self) -> None:
        strategy, pruning, trunk = self.desc.strategy, self.desc.pruning, self.trunk
        assert strategy is not None
        assert pruning is not None
        model = self._trained() if pruning.score_at == "end" else self.state_at_k().model
        mask = find_mask(trunk, strategy, pruning, model, self.desc.density)
        record_mask(self.here, mask, model, trunk, pruning, start=trunk.iteration(self.k), end=trunk.end)
        if not self.here.read_json(files.SPARSITY_REPORT)["has_path"]:
            trunk.context.reporter.warn(
                f"k={self.k.short}: {strategy.name} leaves no path from input to output; the children cannot learn"
            )

    # Children and verdict ----------------------------------------------------------------------------------------

    @cached_property
    def children(self) -> Children:
        desc, at = self.desc, self.trunk.iteration(self.desc.perturb_at or self.k)
        perturbation = Perturbation(desc.perturb_hyperparameters, desc.perturb_weights, at)
        return Children(self.here, self.trunk, self._masked_start, desc.train.training, perturbation, self._updates)

    def train_child(self, number: int) -> None:
        """Train one child and compare nothing; children may be trained by different processes."""
        self.begin()
        self.mask()
        self.children.train(number)

    @property
    def done(self) -> bool:
        return stored(self.here, self.settings) is not None

    def compare(self) -> Verdict:
        """Compare the children and judge; find, train and compare only what has not been yet."""
        if self.done:
            return self.result()
        self.begin()
        mask = self.mask()
        subject = Subject(self.k, self.desc.strategy_name, self._density())
        return analyse(subject, self.children, mask, self.full_network, self.settings)

    def result(self) -> Verdict:
        return read_verdict(self.here)

    def _masked_start(self) -> TrainState:
        state = self.state_at_k()
        if self.desc.reset_optimizer:
            state.optimizer = make_optimizer(self.trunk.desc.training, state.model)
        if (mask := self.mask()) is not None:
            state.prune(mask)
        return state

    def _updates(self, state: TrainState) -> MaskUpdates | None:
        start, end = self.trunk.iteration(self.k), self.trunk.end
        return mask_updates(
            self.trunk, self.desc.strategy, self.desc.pruning, self.desc.density, start=start, end=end
        )  # fmt: skip

    def _density(self) -> float:
        """Return what the mask keeps, ignored layers left out of the count."""
        if self.desc.strategy is None or isinstance(self.desc.strategy, ChangingMask):
            return self.desc.density
        return float(self.here.read_json(files.SPARSITY_REPORT)["density"])


def check_perturbation(desc: StabilityDesc, trunk: Trunk, k: Step) -> None:
    """Raise ``UsageError`` if the children's weights cannot be perturbed as they are to be."""
    if desc.perturb_at is not None:
        flag = f"--perturb_at={desc.perturb_at.short}"
        if not desc.perturb_weights:
            raise UsageError(f"{flag}: says when weights are perturbed; give --perturb_weights, such as 1e-3")
        if not trunk.iteration(k) <= trunk.iteration(desc.perturb_at) < trunk.end:
            raise UsageError(f"{flag}: expected a step from --k={k.short} to before the end of training")
    if desc.perturb_weights and isinstance(desc.strategy, ChangingMask):
        raise UsageError(f"--perturb_weights: the mask of --pruning_strategy={desc.strategy.name} changes in training")
