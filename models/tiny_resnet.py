"""ResNets of four stages (He et al. 2016, arXiv 1512.03385, table 1) for images that are smaller than ImageNet's."""

from torch import nn

from models.cifar_resnet import ResNet
from models.registry import models
from models.shape import ImageShape

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


@models.register("tiny_resnet_<depth=18|34>[_<width>]")
def tiny_resnet(shape: ImageShape, depth: int, width: int = 64) -> nn.Module:
    """ResNet-18 or ResNet-34 with a 3x3 convolution and no pooling in front; ``width`` channels in the first stage.

    SynFlow's "ResNet-18" and, since its code widens bottleneck blocks alone, also what that code calls
    ``wide_resnet18``: 11,173,962 trainable parameters on CIFAR-10. A width of 128 really is twice as wide.
    """
    return ResNet(shape, BLOCKS[depth], width)
