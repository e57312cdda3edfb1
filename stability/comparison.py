"""What lies between trained children: distances of their weights and answers, errors on the lines between them."""

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property

from torch import Tensor

from foundations import files
from foundations.errors import UsageError
from pruning import Mask
from pruning.channels import ChannelGraph
from stability.activations import match_activations
from stability.alignment import Permutations, alignable_graph, match, permuted, share_moved
from stability.children import Children
from stability.desc import AnalysisHparams
from stability.distances import disagreement, ensemble_accuracy, layer_distances, outputs, weight_distances
from stability.interpolation import Examples, Line, Meter, batchnorms, even_alphas, walk
from stability.plane import Landscape
from stability.repair import Repair
from stability.rows import LinePoint, read_rows, renamed, write_rows
from stability.verdict import Child, Distances, Verdict, read_verdict
from training.arithmetic import arithmetic

Trained = Mapping[int, Mapping[str, Tensor]]
Numbers = tuple[int, int]
"""Of two children."""
Matched = Mapping[Numbers, tuple[Permutations, Permutations]]
"""Of every two children the order of the first's channels and of the second's in which they correspond."""
MATCHED_ON = 50
"""Images in a batch, of which two networks' activations are in memory at once."""
Logits = Callable[[int], Tensor]
"""A child's outputs for the test set before the softmax, (N, classes), by its number."""


@dataclass(frozen=True)
class Measured:
    """What a verdict is made from."""

    children: list[Child]
    distances: list[Distances]
    rows: list[LinePoint]
    ensemble_accuracy: float | None = None


@dataclass(frozen=True)
class ChildComparison:
    """Compares the children that ``settings`` asks for, all of which are trained.

    What an earlier comparison has left in ``interpolation.csv`` and ``instability.json`` is not computed again.
    """

    children: Children
    mask: Mask | None
    settings: AnalysisHparams

    def run(self) -> Measured:
        trained = {number: self.read(number) for number in range(1, self.settings.children + 1)}
        for number, tensors in trained.items():
            if not all(tensor.isfinite().all() for tensor in tensors.values()):
                path = self.children.store(number).path
                self.children.trunk.context.reporter.warn(f"{path} has diverged: not all of its weights are finite")
        logits = cache(lambda number: self.logits(trained[number]))  # asked once, and only if someone wants to know
        matched = self.matched(trained) if self.settings.align else {}
        if self.settings.plane:
            Landscape(self.children, self.mask, trained, self.meter).write(self.settings.plane)
        return Measured(
            *self.distances(trained, logits, matched), self.rows(trained, matched), self.ensemble_accuracy(logits)
        )  # fmt: skip

    def logits(self, tensors: Mapping[str, Tensor]) -> Tensor:
        data, model = self.children.trunk.data, self.children.start().model
        model.load_state_dict(dict(tensors))
        with arithmetic(self.children.hparams, data.device):
            return outputs(model, data.evaluation_batches("test"))

    def read(self, number: int) -> dict[str, Tensor]:
        """Return a child's weights; raise ``UsageError`` if they are not zero where its mask is."""
        tensors = self.children.weights(number)
        for name, kept in (self.children.own_mask(number) or self.mask or {}).items():
            pruned = tensors[name][~kept.cpu()].nan_to_num(0)  # 0 * inf is nan: a diverged child has no other mask
            if revived := int(pruned.count_nonzero()):
                raise UsageError(
                    f"{self.children.store(number).path} was trained under another mask: {revived} weights of {name} "
                    f"are not zero where {self.children.here / files.MASK} has none.\n"
                    "Delete this child's directory and run the same command again."
                )
        return tensors

    @cached_property
    def graph(self) -> ChannelGraph:
        return alignable_graph(self.children.trunk.fresh().model)

    def matched(self, trained: Trained) -> Matched:
        """Return the orders of channels in which every two children correspond."""
        pairs, reporter = list(itertools.combinations(trained, 2)), self.children.trunk.context.reporter
        to_first = self.settings.align_to == "first"
        found: dict[Numbers, Permutations] = {}
        wanted = [pair for pair in pairs if pair[0] == 1 or not to_first]
        with reporter.progress("alignment", len(wanted), "pairs") as advance:
            for one, other in wanted:
                found[one, other] = self.match(trained, one, other)
                advance(1)
        if to_first:
            return {(one, other): (found.get((1, one), {}), found[1, other]) for one, other in pairs}
        return {pair: ({}, order) for pair, order in found.items()}

    def match(self, trained: Trained, one: int, other: int) -> Permutations:
        trunk, first, second = self.children.trunk, trained[one], trained[other]
        if self.settings.align_by == "weights":
            return match(self.graph, first, second, trunk.seeds.generator("weight matching", one, other))
        images = trunk.data.evaluation_batches("train", MATCHED_ON, self.settings.batchnorm_examples)
        with arithmetic(self.children.hparams, trunk.data.device):
            return match_activations(self.graph, self.children.start().model, first, second, images)

    def aligned(self, trained: Trained, pair: Numbers, matched: Matched) -> list[dict[str, Tensor]]:
        """Return two children with their channels in corresponding order."""
        return [
            permuted(trained[number], self.graph, order) for number, order in zip(pair, matched[pair], strict=True)
        ]

    def distances(
        self, trained: Trained, logits: Logits, matched: Matched
    ) -> tuple[list[Child], list[Distances]]:
        """Return those of each child from the start, and of each pair."""
        before = self._before
        children = {} if before is None else {child.child: child for child in before.children}
        pairs = {} if before is None else {pair.children: pair.distances for pair in before.pairs}
        state = self.children.start()
        names = [name for name, _ in state.model.named_parameters()]
        origin = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
        labels = self.children.trunk.data.labels["test"]
        for number in set(trained) - set(children):
            children[number] = self._from_start(number, origin, trained[number], names)
        for one, other in itertools.combinations(trained, 2):
            if (one, other) not in pairs:
                pairs[one, other] = Distances(
                    children=(one, other),
                    **weight_distances(trained[one], trained[other], names),
                    **disagreement(logits(one).argmax(1), logits(other).argmax(1), labels),
                    layer_l2=layer_distances(trained[one], trained[other], names),
                )
            l2 = moved = None
            if (one, other) in matched:
                first, second = self.aligned(trained, (one, other), matched)
                l2 = weight_distances(first, second, names)["l2"]
                moved = share_moved(matched[one, other][1])
            pairs[one, other] = replace(pairs[one, other], aligned_l2=l2, channels_moved=moved)
        return [children[number] for number in trained], [pairs[pair] for pair in itertools.combinations(trained, 2)]

    def ensemble_accuracy(self, logits: Logits) -> float | None:
        """Return the accuracy of all children together, on the test set."""
        numbers, before = range(1, self.settings.children + 1), self._before
        if before is not None and before.ensemble_accuracy is not None and len(before.children) == len(numbers):
            return before.ensemble_accuracy
        labels = self.children.trunk.data.labels["test"]
        return ensemble_accuracy((logits(number).softmax(1) for number in numbers), labels)

    def rows(self, trained: Trained, matched: Matched) -> list[LinePoint]:
        """Return all pairs' points at the alphas wanted; new ones go to ``interpolation.csv`` after each alpha."""
        settings, here, trunk = self.settings, self.children.here, self.children.trunk
        alphas = even_alphas(settings.alphas)
        stored_rows, meter = read_rows(here), self.meter
        model = self.children.start().model

        def keep(rows: list[LinePoint]) -> None:
            stored_rows.extend(rows)
            write_rows(here, stored_rows)

        wanted: list[LinePoint] = []
        pairs = list(itertools.combinations(trained, 2))
        points = (len(pairs) + len(matched)) * len(alphas)
        with trunk.context.reporter.progress("interpolation", points, "points") as advance:
            for one, other in pairs:
                line = Line(model, trained[one], trained[other])
                wanted += walk(line, meter, (one, other), alphas, tuple(stored_rows), keep, advance)
                if (one, other) in matched:
                    line = Line(model, *self.aligned(trained, (one, other), matched))
                    repair = None if batchnorms(model) else Repair(line, self.graph, meter.recalculate)
                    wanted += renamed(walk(
                        line, meter, (one, other), alphas, tuple(stored_rows), keep, advance, settings.aligned, repair
                    ), settings.aligned)  # fmt: skip
        return wanted

    @cached_property
    def meter(self) -> Meter:
        examples = Examples(self.settings.interpolation_examples, self.settings.batchnorm_examples)
        return Meter(self.children.trunk.data, self.children.hparams, examples)

    @cached_property
    def _before(self) -> Verdict | None:
        here = self.children.here
        return read_verdict(here) if here.has(files.INSTABILITY) else None

    def _from_start(
        self, number: int, origin: Mapping[str, Tensor], weights: Mapping[str, Tensor], names: Collection[str]
    ) -> Child:
        apart = weight_distances(origin, weights, names)
        return Child(
            child=number,
            **self.children.hyperparameters(number),
            **{f"{name}_from_start": value for name, value in apart.items()},
        )
