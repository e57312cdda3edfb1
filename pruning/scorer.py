"""From a strategy to checked scores: the copies it may spoil, and the conditions under which it scores."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from foundations.errors import UsageError
from foundations.seeds import seed_global
from pruning.batches import Batches
from pruning.computed import computed_weights, make_plain
from pruning.prunable import prunable
from pruning.strategy import Strategy
from pruning.weight_use import copied


class Scorer:
    """Lets a strategy score copies of a model."""

    def __init__(self, strategy: Strategy, model: nn.Module, batches: Batches, seed: int) -> None:
        self.strategy = strategy
        self.seed = seed
        parameter = next(filter(Tensor.is_floating_point, model.parameters()))
        self.dtype = strategy.dtype or parameter.dtype
        # Apple's GPUs have no float64.
        self.device = torch.device("cpu") if parameter.is_mps and self.dtype == torch.float64 else parameter.device
        self.batches = batches.to(self.device, self.dtype)
        # Channels-first, like the batches: channels-last, the backward pass of narrow networks would corrupt memory
        # on a CPU (uxlfoundation/oneDNN issue 6035).
        self.original = copied(model).to(self.device)
        self.original.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # not in the stubs
        self.original.train(strategy.scored_in == "train")
        for parameter in self.original.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        self.weights = prunable(self.original)
        self.computed = computed_weights(self.original)
        self.names = {name: self.computed.get(name, name) for name in self.weights}  # as in the copies
        # Masking takes the values of pruned weights away, which are needed where these may come back.
        kept = self.weights if strategy.revives else {}
        self.values = {name: weight.detach().clone() for name, weight in kept.items()}
        whole = prunable(self.copied()) if kept else {}
        self.unmasked = {self.names[name]: whole[self.names[name]].detach() for name in kept}
        self.refreshed = self.refresher() if strategy.spoils_values_only and not self.computed else self.copied

    def __call__(self, alive: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the scores, checked, of the model masked by ``alive``, by parameter name."""
        self.mask(alive)
        with self.conditions() as generator:
            scores = self.strategy.score_all(self.refreshed(), self.unmasked, self.batches, generator)
        return self.checked(scores)

    def remarks(self, alive: Mapping[str, Tensor]) -> list[str]:
        """Return what the strategy has to say of the model masked by ``alive``."""
        self.mask(alive)
        with self.conditions() as generator:
            return self.strategy.remarks(self.copied(), self.batches, generator)

    def mask(self, alive: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, weight in self.weights.items():
                if name in self.values:
                    weight.copy_(self.values[name])
                weight.mul_(alive[name])

    @contextmanager
    def conditions(self) -> Iterator[torch.Generator]:
        """Within it a strategy may look at copies of the model; yields the generator that it gets."""
        with (
            seeded(self.seed, self.device),
            plain_attention(),
            torch.autocast(self.device.type, enabled=False),
            torch.enable_grad(),
        ):
            yield torch.Generator().manual_seed(self.seed)

    def copied(self) -> nn.Module:
        """Return a new copy of the model, which may be spoiled, in the strategy's dtype."""
        made = copied(self.original)
        make_plain(made, self.computed.values())
        return made.to(self.dtype)

    def refresher(self) -> Callable[[], nn.Module]:
        """Give one copy again and again, its values refreshed: a new one takes as long as a score."""
        scratch = self.copied()
        to, source = tensors(scratch), tensors(self.original)

        def refreshed() -> nn.Module:
            with torch.no_grad():
                torch._foreach_copy_(to, source)
            return scratch

        return refreshed

    def checked(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return ``scores`` without their graph; ``UsageError`` if they do not fit the model or are not finite."""
        blame = f"--pruning_strategy={self.strategy.name}: the score of layer"
        for own, name in self.names.items():
            if name not in scores:
                raise UsageError(f"{blame} {own} is missing")
            if scores[name].shape != self.weights[own].shape:
                shapes = f"has shape {tuple(scores[name].shape)}; expected {tuple(self.weights[own].shape)}"
                raise UsageError(f"{blame} {own} {shapes}")
        if unknown := scores.keys() - set(self.names.values()):
            raise UsageError(f"{blame} {min(unknown)} has no weights to go with: the model has no such prunable layer")
        scores = {own: scores[name].detach() for own, name in self.names.items()}
        extremes = torch.stack([extreme for score in scores.values() for extreme in score.aminmax()])
        if not extremes.isfinite().all():
            name = next(name for name, score in scores.items() if not score.isfinite().all())
            raise UsageError(f"{blame} {name} is not finite; it was computed in {scores[name].dtype}")
        return scores


def tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


@contextmanager
def plain_attention() -> Iterator[None]:
    """Within it attention is made of plain operations: its other kernels have no second derivative, and in evaluation
    mode PyTorch's attention would take a path that passes over hooks."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Within it the global random numbers, from which dropout draws, come from ``seed``; afterwards as if
    untouched."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        seed_global(seed, device)
        yield
