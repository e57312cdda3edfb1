"""One small network for each activation, normalization, pooling and other layer that PyTorch has."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from tests.zoo.networks.registry import convnet, head, network

Layer = Callable[[], nn.Module]
"""Makes a layer that reads 8 channels and gives 8."""


def named(*names: str, **arguments: object) -> dict[str, Layer]:
    """PyTorch's layers of these names, made with ``arguments``."""
    return {name: lambda name=name: getattr(nn, name)(**arguments) for name in names}


ACTIVATIONS: dict[str, Layer] = {
    **named(
        "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid", "Mish",
        "PReLU", "ReLU", "ReLU6", "RReLU", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh",
        "Tanhshrink", "Softmax2d",
    ),
    **named("Softmin", dim=1), **named("Threshold", threshold=0.1, value=0.0),
    "relu_in_place": lambda: nn.ReLU(inplace=True), "prelu_by_channel": lambda: nn.PReLU(8),
    "GLU": lambda: nn.Sequential(nn.Conv2d(8, 16, 1), nn.GLU(1)),
}  # fmt: skip

NORMALIZATIONS: dict[str, Layer] = {
    **named("BatchNorm2d", num_features=8), **named("GroupNorm", num_groups=4, num_channels=8),
    **named("InstanceNorm2d", num_features=8, affine=True), **named("LocalResponseNorm", size=2),
    **named("LayerNorm", "RMSNorm", normalized_shape=[8, 8, 8]), **named("CrossMapLRN2d", size=2),
    "batchnorm_untracked": lambda: nn.BatchNorm2d(8, track_running_stats=False),
    "batchnorm_not_affine": lambda: nn.BatchNorm2d(8, affine=False),
    "batchnorm_cumulative": lambda: nn.BatchNorm2d(8, momentum=None),
    "instancenorm_tracked": lambda: nn.InstanceNorm2d(8, track_running_stats=True),
}  # fmt: skip

DROPOUTS: dict[str, Layer] = named("Dropout", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout", p=0.3)

POOLINGS: dict[str, Layer] = {
    **named("MaxPool2d", "AvgPool2d", kernel_size=2), **named("LPPool2d", norm_type=2, kernel_size=2),
    **named("FractionalMaxPool2d", kernel_size=2, output_size=4),
    **named("AdaptiveMaxPool2d", "AdaptiveAvgPool2d", output_size=3),
    "max_pool_dilated": lambda: nn.MaxPool2d(2, stride=1, dilation=2),
    "max_pool_padded": lambda: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
    "avg_pool_padded": lambda: nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False),
    "pool_to_rows": lambda: nn.AdaptiveAvgPool2d((None, 1)),
}  # fmt: skip

RESHAPES: dict[str, Layer] = {
    **named("Identity"), **named("ChannelShuffle", groups=2),
    **named("CircularPad2d", "ReflectionPad2d", "ReplicationPad2d", "ZeroPad2d", padding=1),
    **named("ConstantPad2d", padding=1, value=0.5),
    **named("Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", scale_factor=2),
    "upsample_bilinear": lambda: nn.Upsample(size=6, mode="bilinear"),
    "PixelShuffle": lambda: nn.Sequential(nn.Conv2d(8, 32, 1), nn.PixelShuffle(2)),
    "PixelUnshuffle": lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(32, 8, 1)),
    "Unflatten": lambda: nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (4, 16))),
}  # fmt: skip


def enter(layers: Mapping[str, Layer]) -> None:
    for name, layer in layers.items():
        network(name)(lambda layer=layer: convnet(layer()))


for kind in (ACTIVATIONS, NORMALIZATIONS, DROPOUTS, POOLINGS, RESHAPES):
    enter(kind)


# Along one axis and along three -------------------------------------------------------------------------------------


class Along(nn.Module):
    """``net`` of images as (N, 8 rows as channels, 8), or of (N, 1, 2, 4, 8)."""

    def __init__(self, axes: int, net: nn.Module) -> None:
        super().__init__()
        self.axes, self.net = axes, net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x[:, 0] if self.axes == 1 else x.unflatten(2, (2, 4)))


def along_one(*layers: nn.Module) -> nn.Module:
    body = nn.Sequential(nn.Conv1d(8, 8, 3, padding=1), *layers, nn.Conv1d(8, 8, 1), nn.ReLU())
    return Along(1, nn.Sequential(*body, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 10)))


def along_three(*layers: nn.Module) -> nn.Module:
    body = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), *layers, nn.Conv3d(8, 8, 1), nn.ReLU())
    return Along(3, nn.Sequential(*body, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 10)))


@network("layers_1d")
def layers_1d() -> nn.Module:
    return along_one(nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout1d(0.2), nn.MaxPool1d(2), nn.ConvTranspose1d(8, 8, 2, 2))


@network("paddings_1d")
def paddings_1d() -> nn.Module:
    return along_one(
        nn.ReLU(), nn.CircularPad1d(1), nn.ConstantPad1d(1, 0.1), nn.ReflectionPad1d(1), nn.ReplicationPad1d(1),
        nn.ZeroPad1d(1), nn.InstanceNorm1d(8), nn.AvgPool1d(2), nn.LPPool1d(2, 2), nn.AdaptiveMaxPool1d(2),
    )  # fmt: skip


@network("layers_3d")
def layers_3d() -> nn.Module:
    return along_three(nn.BatchNorm3d(8), nn.ReLU(), nn.Dropout3d(0.2), nn.MaxPool3d(2), nn.ConvTranspose3d(8, 8, 2, 2))


@network("paddings_3d")
def paddings_3d() -> nn.Module:
    return along_three(
        nn.ReLU(), nn.CircularPad3d(1), nn.ConstantPad3d(1, 0.1), nn.ReflectionPad3d(1), nn.ReplicationPad3d(1),
        nn.ZeroPad3d(1), nn.InstanceNorm3d(8), nn.AvgPool3d(2), nn.LPPool3d(2, 2), nn.AdaptiveMaxPool3d(2),
    )  # fmt: skip


@network("fractional_3d")
def fractional_3d() -> nn.Module:
    return along_three(nn.ReLU(), nn.FractionalMaxPool3d((1, 2, 2), output_size=(1, 2, 4)))


@network("batchnorm_of_vectors")
def batchnorm_of_vectors() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))


@network("unpooled")
class Unpooled(nn.Module):
    """Maxima go back to where they were found."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.rest = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), *head(8))

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.unpool(*self.pool(self.conv(x).relu())))


@network("unpooled_elsewhere")
class UnpooledElsewhere(nn.Module):
    """The same along one axis and along three."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.three = nn.Conv1d(8, 8, 1), nn.Conv3d(1, 4, 1)
        self.pool_one, self.unpool_one = nn.MaxPool1d(2, return_indices=True), nn.MaxUnpool1d(2)
        self.pool_three, self.unpool_three = nn.MaxPool3d(2, return_indices=True), nn.MaxUnpool3d(2)
        self.last = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        one = self.unpool_one(*self.pool_one(self.one(x[:, 0]).relu()))
        three = self.unpool_three(*self.pool_three(self.three(x.unflatten(2, (2, 4))).relu()))
        return self.last(torch.cat([one.mean(2), three.mean((2, 3, 4))], 1))


@network("patches")
def patches() -> nn.Module:
    """A convolution written as a linear layer on unfolded patches, folded back."""
    return nn.Sequential(
        nn.Unfold(2, stride=2), Transposed(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), Transposed(),
        nn.Fold((8, 8), 2, stride=2), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


class Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


@network("distances")
class Distances(nn.Module):
    """Scores by the distance to learned prototypes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.prototypes = nn.Linear(64, 8), nn.Parameter(torch.randn(10, 8))
        self.cosine, self.distance = nn.CosineSimilarity(2), nn.PairwiseDistance()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))[:, None].relu()
        return self.cosine(x, self.prototypes[None]) - self.distance(x, self.prototypes[None])


@network("softmax_of_features")
def softmax_of_features() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Softmax(-1), nn.Linear(16, 10))
