"""Networks of torchvision and timm by their names there: ``torchvision:resnet50``, ``timm:convnext_atto``.

They come without pretrained weights, and with as many input channels and classes as the data have.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from foundations.errors import UsageError, near_misses
from foundations.torchvision_import import import_torchvision
from models.registry import ImageShape, models

COLOURS = 3
"""Input channels of all of torchvision's networks."""


@models.register("torchvision:<name>")
def torchvision(shape: ImageShape, name: str) -> nn.Module:
    """Any of torchvision's networks for classification, ``torchvision.models.list_models()``.

    Where the data do not have three channels, the first convolution gets as many as they have. Auxiliary outputs, which
    are trained on besides the class scores, are left out.

    Raises:
        UsageError: there is no such network, or which convolution reads the image is not clear.
    """
    library = import_torchvision().models
    names = library.list_models(module=library)
    if name not in names:
        meant = near_misses(name, names, prefix="torchvision:")
        raise UsageError(
            f"--model=torchvision:{name}: unknown model{meant}; torchvision.models.list_models() names the valid ones"
        )
    model: nn.Module = library.get_model(name, weights=None, num_classes=shape.classes, **options(name, shape))
    if shape.channels != COLOURS:
        take_channels(name, model, shape.channels)
    return model


def options(name: str, shape: ImageShape) -> Mapping[str, Any]:
    """Return what a family of torchvision's needs beside the number of classes."""
    without_auxiliary = {"aux_logits": False, "init_weights": False}
    families: Mapping[str, Mapping[str, Any]] = {
        "vit": {"image_size": shape.height},
        "maxvit": {"input_size": (shape.height, shape.width)},
        "googlenet": without_auxiliary,
        "inception": without_auxiliary,
    }
    return families.get(name.partition("_")[0], {})


def take_channels(name: str, model: nn.Module, channels: int) -> None:
    """Replace the one convolution that reads three channels by one that reads ``channels``."""
    reading = [
        (path, layer) for path, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.in_channels == COLOURS
    ]  # fmt: skip
    if len(reading) != 1:
        raise UsageError(
            f"--model=torchvision:{name}: the images have {channels} channels, and {len(reading)} of its convolutions "
            f"read {COLOURS}; it can be adapted where that is one"
        )
    [(path, layer)] = reading
    model.set_submodule(path, nn.Conv2d(
        channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,  # type: ignore[arg-type]
        dilation=layer.dilation, bias=layer.bias is not None, padding_mode=layer.padding_mode,  # type: ignore[arg-type]
    ))  # fmt: skip


@models.register("timm:<name>")
def timm(shape: ImageShape, name: str) -> nn.Module:
    """Any of timm's networks, ``timm.list_models()``; the extra ``timm``. One with a size of its own gets the data's.

    Raises:
        UsageError: timm is not installed, or there is no such network.
    """
    import_torchvision()  # timm's own import of it fails where its operators do not load
    try:
        import timm as library
    except ImportError as error:
        raise UsageError(f"--model=timm:{name} needs the package timm: pip install 'adsynflow[timm]'") from error
    if not library.is_model(name):
        meant = near_misses(name, library.list_models(), prefix="timm:")
        raise UsageError(f"--model=timm:{name}: unknown model{meant}; timm.list_models() names the valid ones")
    common: dict[str, Any] = {"pretrained": False, "num_classes": shape.classes, "in_chans": shape.channels}
    try:
        model: nn.Module = library.create_model(name, **common, img_size=(shape.height, shape.width))
    except TypeError as error:
        if "img_size" not in str(error):  # networks of convolutions take images of any size
            raise
        model = library.create_model(name, **common)
    return model
