"""From hyperparameters to an initialized network."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.nn.parameter import is_lazy

from foundations.errors import UsageError, summary_of
from foundations.hparams import Hparams, hp
from foundations.provenance import plugin_of
from models.registry import Builder, ImageShape, parse

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
BATCHNORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
STD_OF_TRUNCATED = 0.87962566103423978
"""Standard deviation of a standard normal variable that is cut off at -2 and 2."""

Initializer = Callable[[Tensor, torch.Generator], object]
"""Fills a weight (out, in, ...) of a convolution or linear layer in place."""

BatchNormInitializer = Callable[[Tensor, Tensor, torch.Generator], object]
"""Fills the scale and the shift (both: channels) of a BatchNorm layer in place."""


def kaiming_normal(weight: Tensor, generator: torch.Generator) -> None:
    """Normal with variance 2 / fan_in (He et al. 2015, arXiv 1502.01852, equation 10)."""
    init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)


def kaiming_uniform(weight: Tensor, generator: torch.Generator) -> None:
    """Uniform with variance 2 / fan_in (He et al. 2015)."""
    init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)


def xavier_normal(weight: Tensor, generator: torch.Generator) -> None:
    """Normal with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, equation 12)."""
    init.xavier_normal_(weight, generator=generator)


def xavier_uniform(weight: Tensor, generator: torch.Generator) -> None:
    """Uniform with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, equation 16)."""
    init.xavier_uniform_(weight, generator=generator)


def lecun_normal(weight: Tensor, generator: torch.Generator) -> None:
    """Normal with variance 1 / fan_in, cut off at two standard deviations: TensorFlow's variance scaling."""
    deviation = weight[0].numel() ** -0.5 / STD_OF_TRUNCATED
    init.trunc_normal_(weight, 0, deviation, -2 * deviation, 2 * deviation, generator=generator)


def orthogonal(weight: Tensor, generator: torch.Generator) -> None:
    """Orthonormal rows or columns of the weight seen as a matrix out x rest (Saxe et al. 2014, 1312.6120)."""
    init.orthogonal_(weight, generator=generator)


def binary(weight: Tensor, generator: torch.Generator) -> None:
    """Plus or minus sqrt(2 / fan_in), each with probability one half (Ramanujan et al. 2020, 1911.13299)."""
    deviation = (2 / weight[0].numel()) ** 0.5
    with torch.no_grad():
        weight.bernoulli_(0.5, generator=generator).mul_(2 * deviation).sub_(deviation)


def ones(scale: Tensor, shift: Tensor, generator: torch.Generator) -> None:
    """Scale 1, shift 0: PyTorch's default."""
    init.ones_(scale)
    init.zeros_(shift)


def uniform(scale: Tensor, shift: Tensor, generator: torch.Generator) -> None:
    """Scale uniform in [0, 1), shift 0: as in Frankle et al. 2020 (arXiv 1912.05671)."""
    init.uniform_(scale, generator=generator)
    init.zeros_(shift)


OWN = "own"
"""Values stay as the network's own code has drawn them."""
INITIALIZERS: dict[str, Initializer | None] = {
    function.__name__: function
    for function in (kaiming_normal, kaiming_uniform, xavier_normal, xavier_uniform, lecun_normal, orthogonal, binary)
} | {OWN: None}
BATCHNORM_INITIALIZERS: dict[str, BatchNormInitializer | None] = {"uniform": uniform, "ones": ones, OWN: None}


def initialize(
    model: nn.Module, weights: str, batchnorms: str, generator: torch.Generator, biases: str = "own"
) -> None:
    """Fill all BatchNorm layers and the weights of all convolutions and linear layers, in the model's order; and their
    biases with zeros if ``biases`` is "zeros".

    Everything else stays as it is: embeddings, transposed convolutions, attention's packed projections.

    Raises:
        UsageError: a layer computes its weight from other parameters.
    """
    fill_weight, fill_batchnorm = INITIALIZERS[weights], BATCHNORM_INITIALIZERS[batchnorms]
    for name, layer in model.named_modules():
        if isinstance(layer, WEIGHTED):
            if fill_weight is not None:
                if (weight := layer._parameters.get("weight")) is None:
                    raise UsageError(
                        f"--model_init={weights}: layer {name!r} computes its weight; use --model_init={OWN}"
                    )
                fill_weight(weight, generator)
            if biases == "zeros" and layer.bias is not None:
                init.zeros_(layer.bias)
        elif fill_batchnorm is not None and isinstance(layer, BATCHNORMS) and layer.affine:
            fill_batchnorm(layer.weight, layer.bias, generator)


@dataclass(frozen=True, kw_only=True)
class ModelHparams(Hparams):
    """Which network, where its weights begin, and what of it is trained."""

    model: str = hp("cifar_resnet_20")
    """The network: cifar_resnet_<depth>[_<width>] with a depth of 6n+2, cifar_vgg_<11|13|16|19>,
    mnist_lenet_<width>[_<width>]..., conv2, conv4, conv6, mlp1d[_<width>], tiny_resnet_<18|34>[_<width>],
    torchvision:<name>, timm:<name>, or a plug-in's."""
    model_init: str | None = hp(None, choices=tuple(INITIALIZERS))
    """Distribution of the initial weights of convolutions and linear layers; not of biases. own: as the network's own
    code has drawn them, which is the default for a plug-in's network; for others it is kaiming_normal."""
    bias_init: str = hp("own", choices=("own", "zeros"), absent="own")
    """Initial biases of convolutions and linear layers: as the network's own code has drawn them (PyTorch: uniform
    within 1 / sqrt(fan_in)), or zeros."""
    batchnorm_init: str | None = hp(None, choices=tuple(BATCHNORM_INITIALIZERS))
    """Initial scale of BatchNorm: uniform in [0, 1), as in the lottery-ticket papers' code, or ones, as in
    PyTorch; the shift begins at 0. own: as the network's own code has set both, which is the default for a plug-in's
    network; for others it is uniform."""
    batchnorm_frozen: bool = hp(False)
    """Keep the scale and shift of BatchNorm as initialized."""
    output_frozen: bool = hp(False)
    """Keep the output layer as initialized."""
    others_frozen: bool = hp(False)
    """Keep everything but BatchNorm and the output layer as initialized."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _, builder, _ = parse(self.model)
        by_default = ("own", "own") if plugin_of(builder) else ("kaiming_normal", "uniform")
        for name, value in zip(("model_init", "batchnorm_init"), by_default, strict=True):
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)


def build(hparams: ModelHparams, shape: ImageShape, generator: torch.Generator) -> nn.Module:
    """Return the network on the CPU, in training mode, with its frozen parameters at ``requires_grad = False``.

    It depends on the arguments alone: all random numbers come from ``generator`` (a CPU generator). What the network's
    own code draws from PyTorch's global generator depends on it, too; that is left as it was.

    Raises:
        UsageError: ``output_frozen`` finds no layer called ``fc``, or the builder refuses the shape, fails, or returns
            something else than a network.
    """
    _, builder, arguments = parse(hparams.model)
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):  # layers draw their first values, of which biases stay, from here
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the CUDA generators
        model = made(hparams.model, builder, shape, arguments)
    initialize(model, hparams.model_init or OWN, hparams.batchnorm_init or OWN, generator, hparams.bias_init)
    _freeze(model, hparams)
    return model


def made(name: str, builder: Builder, shape: ImageShape, arguments: tuple[int | str, ...]) -> nn.Module:
    """Return what ``builder`` returns, if it is a network; ``UsageError`` names the model and the error otherwise."""
    try:
        model = builder(shape, *arguments)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"--model={name}: its function failed for {shape}: {summary_of(error)}") from error
    if not isinstance(model, nn.Module):
        raise UsageError(f"--model={name}: its function returned {model!r}, not an nn.Module; is a return missing?")
    if next(model.parameters(), None) is None:
        raise UsageError(f"--model={name}: it has no parameters to train")
    refuse_lazy(model, f"--model={name}")
    return model


def refuse_lazy(model: nn.Module, named: str) -> None:
    """Raise ``UsageError`` if the network, which the user calls ``named``, has layers of a size not known yet."""
    for name, module in model.named_modules():
        if any(map(is_lazy, module.parameters(recurse=False))):
            raise UsageError(
                f"{named}: the size of layer {name!r} ({type(module).__name__}) is not known before the network has "
                "been applied to a batch; do that once where the network is made, or give the layer its size"
            )


def trained_weights(hparams: ModelHparams, shape: ImageShape) -> str:
    """Say what becomes of the trained weights that a plug-in's network comes with; empty if it has none.

    Known as trained are weights that are the same under two seeds, and not all equal.
    """
    name = hparams.model
    if plugin_of(parse(name)[1]) is None or not (kept := without_seed(hparams, shape)):
        return ""
    fate = "are kept; --model_init draws others" if hparams.model_init == OWN else f"give way to {hparams.model_init}"
    return f"{name} comes with trained weights, the same under two seeds, in {len(kept)} layers: they {fate}"


def without_seed(hparams: ModelHparams, shape: ImageShape) -> list[str]:
    """Return the weights of a network that its code makes without drawing them."""
    as_built = replace(hparams, model_init=OWN, output_frozen=False)
    generators = (torch.Generator().manual_seed(seed) for seed in (0, 1))
    one, other = (dict(build(as_built, shape, generator).named_parameters()) for generator in generators)
    return [
        name for name, weight in one.items()
        if weight.dim() > 1 and torch.equal(weight, other[name]) and bool((weight != weight.flatten()[0]).any())
    ]  # fmt: skip


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
