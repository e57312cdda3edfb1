"""How much of a mask another one, or a score at k, has in common with it."""

from dataclasses import dataclass

from experiments.measurements.finished import Finished
from experiments.measurements.measurement import Measurement, measurements
from foundations import files
from foundations.errors import UsageError
from foundations.hparams import hp
from lottery.masks import find_mask
from pruning import Mask, PruningHparams, strategies


@measurements.register("overlap")
@dataclass(frozen=True, kw_only=True)
class Overlap(Measurement):
    """The share of the kept weights that another mask keeps, too: of another run, or that scores at k would choose.

    ``with`` is that of --overlap_with, beside it ``with_chance``, that of a random mask of the other's density, and
    ``with_chance_in_layers``, that of one of its density in each layer. A strategy of --overlap_scores finds a mask of
    the same density at k by its own defaults: ``<strategy>``, ``<strategy>_chance_in_layers``, and ``chance`` for
    all of them. ``<...>.<weight>`` is the share in a layer.
    """

    overlap_with: str = hp("")
    """The other run's level, such as lottery_<hash>/level_10: below the same root, and of the same replicate."""
    overlap_scores: tuple[str, ...] = hp((), choices=strategies.keys())
    """Strategies that score the full network at k."""

    def check(self) -> None:
        if not self.overlap_with and not self.overlap_scores:
            raise UsageError("--measure=overlap: with what? Give --overlap_with=RUN/LEVEL or --overlap_scores=a,b")

    def measure(self, finished: Finished) -> dict[str, float]:
        numbers: dict[str, float] = {}
        if self.overlap_with:
            other = self.other_mask(finished)
            numbers |= {"with_chance": other.density, **precision("with", finished.mask, other)}
        if self.overlap_scores:
            numbers["chance"] = finished.mask.density
        for name in self.overlap_scores:
            numbers |= precision(name, finished.mask, scored(finished, name))
        return numbers

    def other_mask(self, finished: Finished) -> Mask:
        run, _, part = self.overlap_with.partition("/")
        trunk = finished.trunk
        place = trunk.context.root / run / files.replicate(trunk.seeds.replicate) / part / files.MASK
        return Mask.load(place, trunk.fresh().model).to(finished.data.device)


def scored(finished: Finished, name: str) -> Mask:
    """Return the mask of the same density that a strategy, as it is by default, finds on the full network at k."""
    strategy, trunk = strategies.get(name), finished.trunk
    pruning = PruningHparams(**{**strategy.pruning_defaults(), "score_at": "k"})
    model = trunk.state_at(finished.k).model
    return find_mask(trunk, strategy(), pruning, model, finished.mask.density, max(1, finished.level))


def precision(what: str, mask: Mask, other: Mask) -> dict[str, float]:
    """Return the share of ``mask`` that ``other`` keeps, in all and by layer, and what its layers' densities give."""
    kept = {name: int(entry.sum()) for name, entry in mask.items()}
    common = {name: int((entry & other[name]).sum()) for name, entry in mask.items()}
    chance = {name: float(other[name].double().mean()) for name in mask}
    whole = max(1, mask.kept)
    return {
        what: sum(common.values()) / whole,
        f"{what}_chance_in_layers": sum(kept[name] * chance[name] for name in mask) / whole,
        **{f"{what}.{name}": common[name] / kept[name] for name in mask if kept[name]},
    }
