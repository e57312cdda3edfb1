"""What training has done to the weights: from k to the end."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from experiments.measurements.finished import Finished
from experiments.measurements.measurement import Measurement, measurements
from pruning import Mask, prunable
from stability.distances import flat, layer_distances, weight_distances


@measurements.register("signs")
@dataclass(frozen=True, kw_only=True)
class Signs(Measurement):
    """Kept weights whose sign changes between k and the end.

    ``changed`` is their share, ``changed.<weight>`` that in a layer. Zhou et al. 2019, "Deconstructing lottery
    tickets", arXiv 1905.01067, section 4: signs are what matters of a ticket's initialization.
    """

    def measure(self, finished: Finished) -> dict[str, float]:
        return changed_signs(finished.mask, prunable(finished.start), prunable(finished.end))


def changed_signs(mask: Mask, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the share of kept weights whose sign is the opposite one, in all and by layer."""
    changed = {name: int(((before[name] * after[name] < 0) & kept).sum()) for name, kept in mask.items()}
    layers = {f"changed.{name}": changed[name] / int(kept.sum()) for name, kept in mask.items() if kept.any()}
    return {"changed": sum(changed.values()) / max(1, mask.kept), **layers}


@measurements.register("distance")
@dataclass(frozen=True, kw_only=True)
class Distance(Measurement):
    """How far training goes: ||w_T - w_k||.

    ``l2`` of all parameters as one vector, ``l2.<parameter>`` of each, ``relative`` is ``l2 / ||w_k||``, ``angular``
    the angle between w_k and w_T in radians.
    """

    def measure(self, finished: Finished) -> dict[str, float]:
        before, after = finished.start.state_dict(), finished.end.state_dict()
        names = [name for name, _ in finished.start.named_parameters()]
        apart, length = weight_distances(before, after, names), float(flat(before, names).norm())
        layers = {f"l2.{name}": value for name, value in layer_distances(before, after, names).items()}
        return {**apart, **({"relative": apart["l2"] / length} if length else {}), **layers}
