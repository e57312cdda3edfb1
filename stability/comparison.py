"""What lies between trained children: distances of their weights and answers, errors on the lines between them."""

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from foundations import files
from foundations.errors import UsageError
from pruning import Mask
from stability.children import Children
from stability.desc import AnalysisHparams
from stability.distances import disagreement, layer_distances, predictions, weight_distances
from stability.interpolation import Examples, Line, Meter, even_alphas, walk
from stability.rows import Row, read_rows, write_rows
from stability.verdict import Child, Distances, build, read_verdict
from training.arithmetic import arithmetic

Trained = Mapping[int, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Comparison:
    """Compares the children that ``settings`` asks for, all of which are trained.

    What an earlier comparison has left in ``interpolation.csv`` and ``instability.json`` is not computed again.
    """

    children: Children
    mask: Mask | None
    settings: AnalysisHparams

    def run(self) -> tuple[list[Child], list[Distances], list[Row]]:
        """The children, the distances of every two of them, and the rows of the lines between them."""
        trained = {number: self.read(number) for number in range(1, self.settings.children + 1)}
        for number, tensors in trained.items():
            if not all(tensor.isfinite().all() for tensor in tensors.values()):
                path = self.children.store(number).path
                self.children.trunk.context.reporter.warn(f"{path} has diverged: not all of its weights are finite")
        return *self.distances(trained), self.rows(trained)

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

    def distances(self, trained: Trained) -> tuple[list[Child], list[Distances]]:
        """Of each child from the start, and of each pair."""
        children, pairs = self._known()
        state, data = self.children.start(), self.children.trunk.data
        names = [name for name, _ in state.model.named_parameters()]
        origin = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
        labels = data.labels["test"]
        predicted: dict[int, Tensor] = {}

        def predict(number: int) -> Tensor:
            if number not in predicted:
                state.model.load_state_dict(dict(trained[number]))
                with arithmetic(self.children.hparams, data.device):
                    predicted[number] = predictions(state.model, data.evaluation_batches("test"))
            return predicted[number]

        for number in set(trained) - set(children):
            children[number] = self._from_start(number, origin, trained[number], names)
        for one, other in itertools.combinations(trained, 2):
            if (one, other) not in pairs:
                pairs[one, other] = Distances(
                    children=(one, other),
                    **weight_distances(trained[one], trained[other], names),
                    **disagreement(predict(one), predict(other), labels),
                    layer_l2=layer_distances(trained[one], trained[other], names),
                )
        return [children[number] for number in trained], [pairs[pair] for pair in itertools.combinations(trained, 2)]

    def rows(self, trained: Trained) -> list[Row]:
        """All pairs' rows at the alphas wanted; what is missing in ``interpolation.csv`` is added after each alpha."""
        settings, here, trunk = self.settings, self.children.here, self.children.trunk
        alphas = even_alphas(settings.alphas)
        stored_rows = read_rows(here)
        examples = Examples(settings.interpolation_examples, settings.batchnorm_examples)
        meter = Meter(trunk.data, self.children.hparams, examples)
        model = self.children.start().model

        def keep(rows: list[Row]) -> None:
            stored_rows.extend(rows)
            write_rows(here, stored_rows)

        wanted: list[Row] = []
        pairs = list(itertools.combinations(trained, 2))
        with trunk.context.reporter.progress("interpolation", len(pairs) * len(alphas), "points") as advance:
            for one, other in pairs:
                line = Line(model, trained[one], trained[other])
                wanted += walk(line, meter, (one, other), alphas, tuple(stored_rows), keep, advance)
        return wanted

    def _known(self) -> tuple[dict[int, Child], dict[tuple[int, int], Distances]]:
        """What an earlier verdict says of children and pairs."""
        here = self.children.here
        if not here.has(files.INSTABILITY):
            return {}, {}
        before = read_verdict(here)
        pairs = {pair.children: build(Distances, vars(pair)) for pair in before.pairs}
        return {child.child: child for child in before.children}, pairs

    def _from_start(
        self, number: int, origin: Mapping[str, Tensor], weights: Mapping[str, Tensor], names: Collection[str]
    ) -> Child:
        apart = weight_distances(origin, weights, names)
        return Child(
            child=number,
            **self.children.hyperparameters(number),
            **{f"{name}_from_start": value for name, value in apart.items()},
        )
