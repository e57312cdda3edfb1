"""ResNets for large images, as torchvision builds them (He et al. 2016, arXiv 1512.03385, table 1)."""

from torch import nn

from foundations.torchvision_import import import_torchvision
from models.registry import models
from models.shape import ImageShape


@models.register("imagenet_resnet_<depth=18|34|50|101>")
def imagenet_resnet(shape: ImageShape, depth: int) -> nn.Module:
    """``torchvision.models.resnet<depth>`` without trained weights; basic blocks up to 34 layers, then bottlenecks.

    Like there a bottleneck's stride is in its 3x3 convolution. The first convolution takes the images' channels.
    Input (N, channels, height, width), output (N, classes).
    """
    import_torchvision()
    from torchvision.models import resnet

    model: nn.Module = getattr(resnet, f"resnet{depth}")(weights=None, num_classes=shape.classes)
    if shape.channels != 3:
        model.conv1 = nn.Conv2d(shape.channels, 64, 7, stride=2, padding=3, bias=False)
    return model
