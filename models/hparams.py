"""The model's part of the command line."""

from dataclasses import dataclass

from foundations.hparams import Hparams, hp
from models.initializers import BATCHNORM_INITIALIZERS, INITIALIZERS
from models.registry import parse


@dataclass(frozen=True, kw_only=True)
class ModelHparams(Hparams):
    """Which network, where its weights begin, and what of it is trained."""

    model: str = hp("cifar_resnet_20")
    """The network: cifar_resnet_<depth>[_<width>] with a depth of 6n+2, cifar_vgg_<11|13|16|19>,
    mnist_lenet_<width>[_<width>]..., conv2, conv4, conv6, mlp1d[_<width>], tiny_resnet_<18|34>[_<width>],
    torchvision:<name>, timm:<name>, or a plug-in's."""
    model_init: str = hp("kaiming_normal", choices=tuple(INITIALIZERS))
    """Distribution of the initial weights of convolutions and linear layers; not of biases. own: as the network's own
    code has drawn them."""
    batchnorm_init: str = hp("uniform", choices=tuple(BATCHNORM_INITIALIZERS))
    """Initial scale of BatchNorm: uniform in [0, 1), as in the lottery-ticket papers' code, or ones, as in
    PyTorch. The shift begins at 0."""
    batchnorm_frozen: bool = hp(False)
    """Keep the scale and shift of BatchNorm as initialized."""
    output_frozen: bool = hp(False)
    """Keep the output layer as initialized."""
    others_frozen: bool = hp(False)
    """Keep everything but BatchNorm and the output layer as initialized."""

    def __post_init__(self) -> None:
        super().__post_init__()
        parse(self.model)
