"""Networks by name.

Importing the package registers the networks that come with it. A plug-in adds one by decorating a function
``my_net(shape: ImageShape) -> nn.Module`` with ``@models.register("my_net")``.
"""

from models import lenet as mlp1d
from models import lenet as mnist_lenet
from models import libraries
from models import resnet as cifar_resnet
from models import resnet as imagenet_resnet
from models import resnet as tiny_resnet
from models import vgg as cifar_vgg
from models import vgg as lottery_conv
from models.factory import ModelHparams, build, refuse_lazy, trained_weights, try_out
from models.registry import ImageShape, family, models, of_library, parse

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
    "refuse_lazy",
    "tiny_resnet",
    "trained_weights",
    "try_out",
]
