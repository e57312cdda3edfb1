"""From hyperparameters to an initialized network."""

import torch
from torch import nn

from foundations.errors import UsageError
from models.hparams import ModelHparams
from models.initializers import BATCHNORMS, initialize
from models.registry import parse
from models.shape import ImageShape


def build(hparams: ModelHparams, shape: ImageShape, generator: torch.Generator) -> nn.Module:
    """The network on the CPU, in training mode, with its frozen parameters at ``requires_grad = False``.

    It depends on the arguments alone: all random numbers come from ``generator`` (a CPU generator), none from
    PyTorch's global ones, and those are left as they were.

    Raises:
        UsageError: ``output_frozen`` finds no layer called ``fc``, or the builder refuses the shape.
    """
    _, builder, numbers = parse(hparams.model)
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):  # layers draw their first values, of which biases stay, from here
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the CUDA generators
        model = builder(shape, *numbers)
    initialize(model, hparams.model_init, hparams.batchnorm_init, generator)
    _freeze(model, hparams)
    return model


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
