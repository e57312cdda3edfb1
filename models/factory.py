"""From hyperparameters to an initialized network."""

import torch
from torch import nn

from foundations.errors import UsageError, summary_of
from models.hparams import ModelHparams
from models.initializers import BATCHNORMS, initialize
from models.registry import Builder, parse
from models.shape import ImageShape


def build(hparams: ModelHparams, shape: ImageShape, generator: torch.Generator) -> nn.Module:
    """The network on the CPU, in training mode, with its frozen parameters at ``requires_grad = False``.

    It depends on the arguments alone: all random numbers come from ``generator`` (a CPU generator), none from
    PyTorch's global ones, and those are left as they were.

    Raises:
        UsageError: ``output_frozen`` finds no layer called ``fc``, or the builder refuses the shape, fails, or returns
            what is no network.
    """
    _, builder, arguments = parse(hparams.model)
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):  # layers draw their first values, of which biases stay, from here
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the CUDA generators
        model = made(hparams.model, builder, shape, arguments)
    initialize(model, hparams.model_init, hparams.batchnorm_init, generator)
    _freeze(model, hparams)
    return model


def made(name: str, builder: Builder, shape: ImageShape, arguments: tuple[int | str, ...]) -> nn.Module:
    """What ``builder`` returns, if it is a network; ``UsageError`` names the model and the error otherwise."""
    try:
        model = builder(shape, *arguments)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"--model={name}: its function failed for {shape}: {summary_of(error)}") from error
    if not isinstance(model, nn.Module):
        raise UsageError(f"--model={name}: its function returned {model!r}, no nn.Module; is a return missing?")
    if next(model.parameters(), None) is None:
        raise UsageError(f"--model={name}: it has no parameters to train")
    return model


def try_out(name: str, model: nn.Module, images: torch.Tensor, shape: ImageShape) -> None:
    """Raises ``UsageError`` if a network cannot be applied to a batch of images, or gives other than class scores."""
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            scores = model.eval()(images)
    except Exception as error:
        raise UsageError(f"--model={name}: it failed on images of {shape}: {summary_of(error)}") from error
    expected, found = (len(images), shape.classes), tuple(getattr(scores, "shape", ()))
    if found != expected:
        what = f"shape {found}" if isinstance(scores, torch.Tensor) else repr(type(scores))
        raise UsageError(f"--model={name}: of a batch of {len(images)} it made {what}, not scores of shape {expected}")


def _freeze(model: nn.Module, hparams: ModelHparams) -> None:
    output = getattr(model, "fc", None)
    if hparams.output_frozen and not isinstance(output, nn.Module):
        raise UsageError(f"--output_frozen=true: {hparams.model} has no output layer called 'fc'")
    in_output = {id(p) for p in output.parameters()} if isinstance(output, nn.Module) else set()
    batchnorms = [layer for layer in model.modules() if isinstance(layer, BATCHNORMS)]
    in_batchnorm = {id(p) for layer in batchnorms for p in layer.parameters()}
    for parameter in model.parameters():
        if id(parameter) in in_output:
            frozen = hparams.output_frozen
        elif id(parameter) in in_batchnorm:
            frozen = hparams.batchnorm_frozen
        else:
            frozen = hparams.others_frozen
        if frozen:
            parameter.requires_grad_(False)
