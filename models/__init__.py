"""Networks by name.

Importing the package registers the networks that come with it. A plug-in adds one by decorating a function
``my_net(shape: ImageShape) -> nn.Module`` with ``@models.register("my_net")``.
"""

from models import lenet, libraries, resnet, vgg
from models.factory import ModelHparams, build, refuse_lazy, trained_weights
from models.registry import ImageShape, family, models, of_library, parse, with_width

__all__ = [
    "ImageShape", "ModelHparams", "build", "family", "lenet", "libraries", "models", "of_library", "parse",
    "refuse_lazy", "resnet", "trained_weights", "vgg", "with_width",
]  # fmt: skip
