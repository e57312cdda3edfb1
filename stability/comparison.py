"""What lies between trained children: distances of their weights and answers, errors on the lines between them."""

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from foundations import files
from foundations.context import Context
from foundations.errors import UsageError
from models import ImageShape
from pruning import Mask
from pruning.graph import ChannelGraph, channel_graph
from pruning.same_function import example_of, perturbed, same_function
from stability.alignment import Permutations, match, permuted, share_moved
from stability.children import Children
from stability.desc import AnalysisHparams
from stability.distances import disagreement, ensemble_accuracy, layer_distances, outputs, weight_distances
from stability.interpolation import Examples, Line, Meter, batchnorms, even_alphas, walk
from stability.plane import Landscape
from stability.repair import Repair
from stability.rows import ALIGNED, Row, read_rows, write_rows
from stability.verdict import Child, Distances, Verdict, build, read_verdict
from training.arithmetic import arithmetic

Trained = Mapping[int, Mapping[str, Tensor]]
Numbers = tuple[int, int]
"""Of two children."""


@dataclass(frozen=True)
class Measured:
    """What a verdict is made from.

    Args:
        children: by number.
        distances: of every two of them.
        rows: error and loss on the lines between them, at all alphas in ascending order.
        ensemble_accuracy: of all of them together, on the test set; see ``distances.ensemble_accuracy``.
    """

    children: list[Child]
    distances: list[Distances]
    rows: list[Row]
    ensemble_accuracy: float | None = None


def check_alignable(model: nn.Module, shape: ImageShape, context: Context) -> None:
    """Say, once, how many channels ``--align`` may move, before anything is trained.

    The network with all of them in random order is compared with the network itself.

    Raises:
        UsageError: no channel can move, the two networks compute other functions, or the model cannot be traced.
    """
    graph, name, leave = alignable_graph(model), type(model).__name__, "leave the flag out"
    movable, hidden = graph.channels_outside(graph.pinned)
    if not movable:
        held = f": {why} must have theirs in order" if (why := graph.why(graph.pinned)) else ""
        raise UsageError(f"--align: none of the {hidden} hidden channels of {name} can move{held}; {leave}")
    if moved := layers_that_differ(model, graph, example_of(shape.channels, shape.height, shape.width)):
        raise UsageError(f"--align: {name} with the channels of {moved} in another order is another function; {leave}")
    if (check_alignable, name) not in context.reported:
        context.reported.add((check_alignable, name))
        context.reporter.say(f"--align: {movable} of the {hidden} hidden channels of {name} can move")


def layers_that_differ(model: nn.Module, graph: ChannelGraph, example: Tensor) -> str:
    """The layers whose channels cannot be permuted without a change of the function; empty if all can."""
    orders, tensors = graph.random_orders(torch.Generator().manual_seed(0)), perturbed(model.state_dict())

    def same(some: Permutations) -> bool:
        return same_function(model, tensors, model, permuted(tensors, graph, some), example)

    if same(orders):
        return ""
    together = [{group, *graph.tied(group)} for group in orders]
    wrong = [groups for groups in together if not same({group: orders[group] for group in groups if group in orders})]
    return ", ".join(dict.fromkeys(name for groups in wrong or together for group in groups if group is not None
                                   for name in graph.writers(group)))  # fmt: skip


def alignable_graph(model: nn.Module) -> ChannelGraph:
    """The model's channel graph; ``UsageError`` if ``--align`` cannot have one."""
    try:
        return channel_graph(model)
    except UsageError as error:
        raise UsageError(f"--align: {error}; leave the flag out") from error


@dataclass(frozen=True)
class Comparison:
    """Compares the children that ``settings`` asks for, all of which are trained.

    What an earlier comparison has left in ``interpolation.csv`` and ``instability.json`` is not computed again.
    """

    children: Children
    mask: Mask | None
    settings: AnalysisHparams

    def run(self) -> Measured:
        """The children, the distances of every two of them, and the rows of the lines between them."""
        trained = {number: self.read(number) for number in range(1, self.settings.children + 1)}
        for number, tensors in trained.items():
            if not all(tensor.isfinite().all() for tensor in tensors.values()):
                path = self.children.store(number).path
                self.children.trunk.context.reporter.warn(f"{path} has diverged: not all of its weights are finite")
        answers = Answers(self.children, trained)
        matched = self.matched(trained) if self.settings.align else {}
        if self.settings.plane:
            Landscape(self.children, self.mask, trained, self.meter).write(self.settings.plane)
        return Measured(
            *self.distances(trained, answers, matched), self.rows(trained, matched), self.ensemble_accuracy(answers)
        )  # fmt: skip

    def read(self, number: int) -> dict[str, Tensor]:
        """A child's weights; ``UsageError`` if they are not zero where the mask is, or its own if it has one."""
        tensors = self.children.weights(number)
        for name, kept in (self.children.own_mask(number) or self.mask or {}).items():
            pruned = tensors[name][~kept.cpu()].nan_to_num(0)  # 0 * inf: a child that has diverged is no other's
            if revived := int(pruned.count_nonzero()):
                raise UsageError(
                    f"{self.children.store(number).path} was trained under another mask: {revived} weights of {name} "
                    f"are not zero where {self.children.here / files.MASK} has none.\n"
                    "Delete this child's directory and run the same command again."
                )
        return tensors

    @cached_property
    def graph(self) -> ChannelGraph:
        """The children's channels; ``UsageError`` if they cannot be aligned."""
        return alignable_graph(self.children.trunk.fresh().model)

    def matched(self, trained: Trained) -> dict[Numbers, Permutations]:
        """For every two children the order of the second's channels that fits those of the first."""
        found: dict[Numbers, Permutations] = {}
        pairs, trunk = list(itertools.combinations(trained, 2)), self.children.trunk
        with trunk.context.reporter.progress("alignment", len(pairs), "pairs") as advance:
            for one, other in pairs:
                generator = trunk.seeds.generator("weight matching", one, other)
                found[one, other] = match(self.graph, trained[one], trained[other], generator)
                advance(1)
        return found

    def distances(
        self, trained: Trained, answers: "Answers", matched: Mapping[Numbers, Permutations]
    ) -> tuple[list[Child], list[Distances]]:
        """Of each child from the start, and of each pair."""
        before = self._before
        children = {} if before is None else {child.child: child for child in before.children}
        pairs = {} if before is None else {pair.children: build(Distances, vars(pair)) for pair in before.pairs}
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
                    **disagreement(answers.classes(one), answers.classes(other), labels),
                    layer_l2=layer_distances(trained[one], trained[other], names),
                )
            l2 = moved = None
            if (order := matched.get((one, other))) is not None:
                aligned, moved = permuted(trained[other], self.graph, order), share_moved(order)
                l2 = weight_distances(trained[one], aligned, names)["l2"]
            pairs[one, other] = replace(pairs[one, other], aligned_l2=l2, channels_moved=moved)
        return [children[number] for number in trained], [pairs[pair] for pair in itertools.combinations(trained, 2)]

    def ensemble_accuracy(self, answers: "Answers") -> float | None:
        """That of all children together, on the test set."""
        numbers, before = range(1, self.settings.children + 1), self._before
        if before is not None and before.ensemble_accuracy is not None and len(before.children) == len(numbers):
            return before.ensemble_accuracy
        labels = self.children.trunk.data.labels["test"]
        return ensemble_accuracy((answers.logits(number).softmax(1) for number in numbers), labels)

    def rows(self, trained: Trained, matched: Mapping[Numbers, Permutations]) -> list[Row]:
        """All pairs' rows at the alphas wanted; what is missing in ``interpolation.csv`` is added after each alpha."""
        settings, here, trunk = self.settings, self.children.here, self.children.trunk
        alphas = even_alphas(settings.alphas)
        stored_rows, meter = read_rows(here), self.meter
        model = self.children.start().model

        def keep(rows: list[Row]) -> None:
            stored_rows.extend(rows)
            write_rows(here, stored_rows)

        wanted: list[Row] = []
        pairs = list(itertools.combinations(trained, 2))
        points = (len(pairs) + len(matched)) * len(alphas)
        with trunk.context.reporter.progress("interpolation", points, "points") as advance:
            for one, other in pairs:
                line = Line(model, trained[one], trained[other])
                wanted += walk(line, meter, (one, other), alphas, tuple(stored_rows), keep, advance)
                if (order := matched.get((one, other))) is not None:
                    line = Line(model, trained[one], permuted(trained[other], self.graph, order))
                    repair = None if batchnorms(model) else Repair(line, self.graph, meter.recalculate)
                    wanted += walk(
                        line, meter, (one, other), alphas, tuple(stored_rows), keep, advance, ALIGNED, repair
                    )  # fmt: skip
        return wanted

    @cached_property
    def meter(self) -> Meter:
        """What measures networks, with its batches."""
        examples = Examples(self.settings.interpolation_examples, self.settings.batchnorm_examples)
        return Meter(self.children.trunk.data, self.children.hparams, examples)

    @cached_property
    def _before(self) -> Verdict | None:
        """An earlier verdict on these children."""
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


@dataclass(frozen=True)
class Answers:
    """What children answer on the test set, each asked once and only if someone wants to know."""

    children: Children
    trained: Trained
    known: dict[int, Tensor] = field(default_factory=dict)

    def logits(self, number: int) -> Tensor:
        """Before the softmax, (N, classes)."""
        if number not in self.known:
            data, model = self.children.trunk.data, self.children.start().model
            model.load_state_dict(dict(self.trained[number]))
            with arithmetic(self.children.hparams, data.device):
                self.known[number] = outputs(model, data.evaluation_batches("test"))
        return self.known[number]

    def classes(self, number: int) -> Tensor:
        """The predicted ones, int64 (N,)."""
        return self.logits(number).argmax(1)
