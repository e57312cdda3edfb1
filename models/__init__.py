"""Networks by name.

Importing the package registers the networks that come with it. A plug-in adds one by decorating a function
``my_net(shape: ImageShape) -> nn.Module`` with ``@models.register("my_net")``.
"""

from models import cifar_resnet, cifar_vgg, imagenet_resnet, libraries, lottery_conv, mlp1d, mnist_lenet, tiny_resnet
from models.factory import build, try_out
from models.hparams import ModelHparams
from models.registry import family, models, of_library, parse
from models.shape import ImageShape

__all__ = [
    "ImageShape",
    "ModelHparams",
    "build",
    "cifar_resnet",
    "cifar_vgg",
    "family",
    "imagenet_resnet",
    "libraries",
    "lottery_conv",
    "mlp1d",
    "mnist_lenet",
    "models",
    "of_library",
    "parse",
    "tiny_resnet",
    "try_out",
]
