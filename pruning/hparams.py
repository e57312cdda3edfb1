"""How much is pruned, in which steps, and from where."""

from dataclasses import dataclass

from foundations.errors import UsageError
from foundations.hparams import Hparams, hp
from pruning.prunable import split_fraction


@dataclass(frozen=True, kw_only=True)
class PruningHparams(Hparams):
    """Hyperparameters that all strategies share. A strategy may have other defaults."""

    pruning_fraction: float = hp(0.2, within="(0, 1)")
    """The fraction of the weights that a level prunes of those it finds: level n keeps (1 - fraction)^n."""

    pruning_iterations: int = hp(1, within="[1, inf)")
    """Rounds of scoring and pruning within one level."""

    pruning_schedule: str = hp("exponential", choices=("exponential", "linear"))
    """How the density falls from round to round: by a constant factor or by a constant amount."""

    pruning_scope: str = hp("global", choices=("global", "layer", "erk"))
    """Whether weights compete with those of all layers, or only with those of their own: at one density for all layers
    (layer), or at Erdos-Renyi-kernel densities, higher where a layer is small (erk)."""

    layer_fractions: tuple[str, ...] = hp((), absent=())
    """Layers with a pruning_fraction of their own: names or patterns, such as fc:0.1. Their weights do not compete with
    others, and --density does not count them."""

    layers_apart: tuple[str, ...] = hp((), absent=())
    """Layers whose weights compete only among themselves, at the density of the others: names or patterns, such as
    *.shortcut."""

    layers_to_ignore: tuple[str, ...] = ()
    """Layers left as they are: names or patterns such as fc or *.shortcut. Their weights do not count
    towards the density."""

    score_at: str = hp("k", choices=("k", "end"))
    """The weights that are scored: those of step k, or those at the end of training."""

    pruning_batches: int = hp(1, within="[1, inf)")
    """Batches of training data that a strategy gets to see."""

    pruning_batch_size: int | None = hp(None, within="[1, inf)", absent=None)
    """Images in each of these batches; default: --batch_size."""

    pruning_balanced: bool = True
    """Whether these batches hold the classes in equal numbers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers_apart and self.pruning_scope == "layer":
            apart = ",".join(self.layers_apart)
            raise UsageError(f"--layers_apart={apart}: has no effect with --pruning_scope=layer, where all layers are")
        for entry in self.layer_fractions:
            split_fraction(entry)
