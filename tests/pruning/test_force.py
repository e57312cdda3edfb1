"""FORCE takes back what iterative SNIP cannot."""

import pytest
import torch
from torch import Tensor, nn

from pruning import Batches, Mask, PruningHparams, prune

WEIGHTS = {"a": 2.0, "b": 2.0, "c": 0.5, "d": 0.5, "e": 1.0}


class Paths(nn.Module):
    """x -> (a b + c d + e) x, for two classes."""

    def __init__(self) -> None:
        super().__init__()
        for name, value in WEIGHTS.items():
            layer = nn.Linear(1, 1, bias=False)
            nn.init.constant_(layer.weight, value)
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        y = self.a(self.b(x)) + self.c(self.d(x)) + self.e(x)
        return torch.cat([y, -y], dim=1)


def kept(strategy: str, mask: Mask | None = None) -> str:
    """Of five weights four, in two iterations that both keep four."""
    image = torch.ones(1, 1, 1, 1)
    batches = Batches([(image, torch.tensor([1]))], [image], image[0])
    hparams = PruningHparams(pruning_iterations=2, pruning_schedule="linear")
    mask = prune(strategy, Paths(), batches, hparams, 0.7, mask=mask)
    return "".join(name[0] for name, entry in mask.items() if entry.all())


def test_force_revives_where_iterative_snip_cannot() -> None:
    """Sensitivities are in proportion to 4, 4, 1/4, 1/4 and 1: d goes, of two equals the second. In the network without
    d those of a and b and e are as before, that of c is 0 and that of d still 1/4, by the value that it had."""
    assert kept("iterative_snip") == "abce"
    assert kept("force") == "abde"


@pytest.mark.parametrize("strategy", ["iterative_snip", "force"])
def test_what_was_pruned_before_does_not_come_back(strategy: str) -> None:
    without_d = Mask({f"{name}.weight": torch.tensor([[name != "d"]]) for name in WEIGHTS})
    assert kept(strategy, without_d) == "abce"
