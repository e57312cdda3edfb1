"""What an import is asked for; known without PyTorch."""

from dataclasses import dataclass

from foundations.hparams import Hparams, hp
from foundations.steps import Step

MATCHES = BY_NAME, BY_ORDER = ("names", "order")


@dataclass(frozen=True, kw_only=True)
class ImportOptions(Hparams):
    """Which network it is, and how its tensors find their place."""

    mask: str = hp("")
    """File of its mask, or zeros: weights that are zero are pruned; default: what lies beside or in the weights."""
    model: str = hp("cifar_resnet_20")
    """The network's architecture, by the name that it has here."""
    dataset: str | None = hp(None)
    """What it was trained on; default: the model's own."""
    step: Step = hp(Step("0ep"))
    """Step of a training at which it stands: what starts from it goes on from there."""
    match: str = hp(BY_NAME, choices=MATCHES)
    """How tensors find their place: by names, or by their order and shapes, where the names are others."""
    names: str = hp("")
    """JSON file of names, or of their beginnings, theirs and ours: {"blocks.0": "layer1.0"}."""
