"""Networks to compact, and what holds for each of them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models import ImageShape, ModelHparams, build
from pruning import Batches, Mask, PruningHparams, prune, strategies
from pruning.compaction import Compacted, compact

SHAPE = ImageShape(3, 8, 8, 10)
STEPS = 20


def make(name: str) -> nn.Module:
    """A shipped model in float64, its BatchNorm no longer fresh."""
    model = build(ModelHparams(model=name), SHAPE, torch.Generator().manual_seed(1)).double()
    train(model, torch.optim.SGD(model.parameters(), lr=0.01), steps=2)
    return model


def images(index: int, size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(index)
    inputs = torch.randn(size, SHAPE.channels, SHAPE.height, SHAPE.width, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(SHAPE.classes, (size,), generator=generator)


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    apply_mask: Callable[[], None] = lambda: None,
    steps: int = STEPS,
) -> None:
    model.train()
    for step in range(steps):
        inputs, labels = images(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        apply_mask()


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)


def make_batches() -> Batches:
    inputs, labels = images(100, 16)
    pixels = inputs.sigmoid()
    return Batches([(inputs, labels)], [pixels], pixels.mean(0))


def found_by(strategy: str, model: nn.Module, density: float) -> Mask:
    hparams = PruningHparams(pruning_iterations=5)
    return prune(strategies.get(strategy)(), model, make_batches(), hparams, density, torch.Generator().manual_seed(2))


def all_outputs(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(images(7)[0])


def assert_same_training(model: nn.Module, mask: Mask, round_to: int = 8) -> Compacted:
    """Trains the masked network and the compact one alike and compares all that the compact one has."""
    mask.apply_(model)
    compacted = compact(model, mask, round_to)
    small = compacted.model
    torch.testing.assert_close(all_outputs(small), all_outputs(model), rtol=0, atol=1e-9)

    train(model, sgd(model), mask.applier(model))
    train(small, sgd(small), compacted.mask.applier(small))
    torch.testing.assert_close(all_outputs(small), all_outputs(model), rtol=0, atol=1e-9)
    expected = compacted.shrink(model.state_dict())
    for name, tensor in small.state_dict().items():
        torch.testing.assert_close(
            tensor, expected[name], rtol=0, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}"
        )
    return compacted


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
