"""The analysis of one network: children trained from it, and what lies between them."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from foundations.context import Context
from foundations.errors import UsageError
from foundations.seeds import Seeds
from foundations.steps import Step
from foundations.store import Store
from pruning import Mask
from stability.barrier import average, barrier, has_learned, is_stable, spread
from stability.children import Children
from stability.desc import AnalysisHparams
from stability.distances import disagreement, layer_distances, predictions, weight_distances
from stability.interpolation import Examples, Line, Meter, even_alphas, walk
from stability.rows import BATCHNORM, SPLITS, Row, read_rows, write_rows
from training.data import TrainingData
from training.hparams import TrainingHparams
from training.state import TrainState

FILE = "instability.json"


@dataclass(frozen=True)
class Analysis:
    """Instability analysis from one state (Frankle et al. 2020, arXiv 1912.05671, section 2).

    Args:
        here: where children, ``interpolation.csv`` and ``instability.json`` lie.
        k: the step that the children start from.
        start: makes the state they start from, with the trunk's noise, masked.
        full_network: the result of the full network trained for the same steps; trains it if need be.
        facts: what else goes into ``instability.json`` (strategy, density).
        mask: what the children are masked by, if anything.
        hparams: how they are trained.
        perturbation: see ``StabilityDesc.perturb_hyperparameters``.
        settings: how they are compared.
    """

    here: Store
    k: Step
    start: Callable[[], TrainState]
    full_network: Callable[[], dict[str, Any]]
    facts: Mapping[str, Any]
    mask: Mask | None
    seeds: Seeds
    data: TrainingData
    hparams: TrainingHparams
    perturbation: float
    settings: AnalysisHparams
    context: Context

    @property
    def children(self) -> Children:
        """The trainings from here."""
        return Children(
            self.here, self.start, self.seeds, self.data, self.hparams, self.perturbation, self.context.reporter
        )

    def run(self) -> dict[str, Any]:
        """Trains and compares what has not been yet, and writes ``instability.json``; its content."""
        if (known := stored(self.here, self.settings)) is not None:
            return known
        with self.here.lock(self.context.reporter):
            full = self.full_network()
            numbers = range(1, self.settings.children + 1)
            for number in numbers:
                self.children.train(number)
            trained = {number: self._read(number) for number in numbers}
            distances = self._distances(trained)
            rows = self._interpolate(trained)
            verdict = self._summary(rows, distances, full)
            self.here.write_json(FILE, verdict)
        return verdict

    def _read(self, number: int) -> dict[str, Tensor]:
        """A child's weights; ``UsageError`` if they are not zero where the mask is."""
        tensors = self.children.weights(number)
        for name, kept in (self.mask or {}).items():
            pruned = tensors[name][~kept.cpu()].nan_to_num(0)  # 0 * inf: a child that has diverged is no other's
            if revived := int(pruned.count_nonzero()):
                raise UsageError(
                    f"{self.children.store(number).path} was trained under another mask: {revived} weights of {name} "
                    f"are not zero where {self.here / 'mask.safetensors'} has none.\n"
                    "Delete this child's directory and run the same command again."
                )
        return tensors

    def _interpolate(self, trained: Mapping[int, Mapping[str, Tensor]]) -> list[Row]:
        """All pairs' rows at the alphas wanted; what is missing in ``interpolation.csv`` is added after each alpha."""
        settings = self.settings
        alphas = even_alphas(settings.alphas)
        stored_rows = read_rows(self.here)
        meter = Meter(self.data, self.hparams, Examples(settings.interpolation_examples, settings.batchnorm_examples))
        model = self.start().model

        def keep(rows: list[Row]) -> None:
            stored_rows.extend(rows)
            write_rows(self.here, stored_rows)

        wanted: list[Row] = []
        pairs = list(itertools.combinations(trained, 2))
        with self.context.reporter.progress("interpolation", len(pairs) * len(alphas), "points") as advance:
            for one, other in pairs:
                line = Line(model, trained[one], trained[other])
                wanted += walk(line, meter, (one, other), alphas, tuple(stored_rows), keep, advance)
        return wanted

    def _distances(self, trained: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Any]:
        """Distances of each child from the start and of each pair; those known from before are not computed again."""
        before = self.here.read_json(FILE) if self.here.has(FILE) else {"children": [], "pairs": []}
        children = {entry["child"]: entry for entry in before["children"]}
        pairs = {tuple(entry["children"]): entry for entry in before["pairs"]}
        state = self.start()
        names = [name for name, _ in state.model.named_parameters()]
        origin = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
        labels = self.data.labels["test"]
        predicted: dict[int, Tensor] = {}

        def predict(number: int) -> Tensor:
            if number not in predicted:
                state.model.load_state_dict(dict(trained[number]))
                predicted[number] = predictions(state.model, self.data.evaluation_batches("test"))
            return predicted[number]

        for number, tensors in trained.items():
            if number not in children:
                apart = weight_distances(origin, tensors, names)
                children[number] = {
                    "child": number,
                    **self.children.hyperparameters(number),
                    **{f"{name}_from_start": value for name, value in apart.items()},
                }
        for one, other in itertools.combinations(trained, 2):
            if (one, other) not in pairs:
                pairs[one, other] = {
                    "children": [one, other],
                    **weight_distances(trained[one], trained[other], names),
                    **disagreement(predict(one), predict(other), labels),
                    "layer_l2": layer_distances(trained[one], trained[other], names),
                }
        return {
            "children": [children[number] for number in trained],
            "pairs": [pairs[pair] for pair in itertools.combinations(trained, 2)],
        }

    def _summary(self, rows: list[Row], distances: dict[str, Any], full: dict[str, Any]) -> dict[str, Any]:
        """The content of ``instability.json``."""
        pairs = [entry | pair_barriers(rows, *entry["children"]) for entry in distances["pairs"]]
        over_pairs = {f"{what}_barrier": combine(pairs, f"{what}_barrier", average) for what in ("error", "loss")}
        spreads = {f"{what}_barrier_spread": combine(pairs, f"{what}_barrier", spread) for what in ("error", "loss")}
        ends = {
            what: {split: child_values(rows, split, what, self.settings.children) for split in SPLITS}
            for what in ("error", "loss")
        }
        learned = has_learned(ends["error"]["test"], chance_error(self.data))
        raw = over_pairs["error_barrier"]["test"]["raw"]
        accuracy = 1 - sum(ends["error"]["test"]) / self.settings.children
        return {
            "k": self.k,
            **self.facts,
            "threshold": self.settings.threshold,
            "stable": is_stable(raw, self.settings.threshold, learned),
            "learned": learned,
            "child_error": ends["error"],
            "child_loss": ends["loss"],
            **over_pairs,
            **spreads,
            "full_network_accuracy": full["test_accuracy"],
            "child_accuracy": accuracy,
            "accuracy_gap": full["test_accuracy"] - accuracy,
            "analysis": self.settings.to_dict(),
            "examples": {
                **{split: next(row.examples for row in rows if row.split == split) for split in SPLITS},
                "batchnorm": max(row.batchnorm_examples for row in rows),
            },
            "children": distances["children"],
            "pairs": pairs,
        }


def stored(here: Store, settings: AnalysisHparams) -> dict[str, Any] | None:
    """The content of ``instability.json`` if it is there and answers just these settings."""
    if not here.has(FILE):
        return None
    known: dict[str, Any] = here.read_json(FILE)
    return known if known["analysis"] == settings.to_dict() else None


def pair_barriers(rows: list[Row], one: int, other: int) -> dict[str, Any]:
    """``error_barrier`` and ``loss_barrier`` of a pair, by split and BatchNorm treatment."""
    return {
        f"{what}_barrier": {
            split: {
                treatment: barrier(
                    [
                        getattr(row, what)
                        for row in rows
                        if (row.first_child, row.second_child, row.split, row.batchnorm)
                        == (one, other, split, treatment)
                    ]
                )
                for treatment in BATCHNORM
            }
            for split in SPLITS
        }
        for what in ("error", "loss")
    }


def combine(pairs: list[dict[str, Any]], name: str, how: Callable[[list[float | None]], float | None]) -> Any:
    """One number over all pairs for each split and treatment."""
    return {
        split: {treatment: how([pair[name][split][treatment] for pair in pairs]) for treatment in BATCHNORM}
        for split in SPLITS
    }


def child_values(rows: list[Row], split: str, what: str, children: int) -> list[Any]:
    """The raw error or loss of each child: the ends of the lines."""
    values = {}
    for row in rows:
        if row.split == split and row.batchnorm == "raw" and row.alpha in (0, 1):
            values[row.second_child if row.alpha else row.first_child] = getattr(row, what)
    return [values[number] for number in range(1, children + 1)]


def chance_error(data: TrainingData) -> float:
    """The test error of always answering with the most frequent class."""
    labels = data.labels["test"]
    return 1 - int(labels.bincount().max()) / len(labels)
