"""Convolutional networks in small: the blocks that people's networks are made of."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.networks.registry import head, network


class Classifier(nn.Module):
    """A first convolution, the subclass's ``features`` of (N, 8, 8, 8), a global average, ten scores."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(self.features(F.relu(self.conv(x))), 1), 1))

    def features(self, x: Tensor) -> Tensor:
        raise NotImplementedError


@network("mnist_example")
class MnistExample(nn.Module):
    """PyTorch's example for MNIST."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        x = F.relu(self.fc1(torch.flatten(self.dropout1(x), 1)))
        return F.log_softmax(self.fc2(self.dropout2(x)), dim=1)


@network("plain_view")
class PlainView(nn.Module):
    """The plainest there is; ``view`` wants its images contiguous."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.conv2, self.fc = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv(x)))), 2)
        return self.fc(x.view(x.size(0), -1))


@network("lenet")
def lenet() -> nn.Module:
    """LeCun et al. 1998, with its own activations."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 3), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 10),
    )  # fmt: skip


@network("vgg")
def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 8), (8, 8), (8, 16)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.MaxPool2d(2), *head(16))


@network("dilated")
class Dilated(Classifier):
    """One kernel at two dilations, once through its module and once through a function, as in TridentNet."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv(x))
        z = F.relu(F.conv2d(x, self.conv.weight, self.conv.bias, padding=2, dilation=2))
        return self.fc(F.relu(self.a(y) + self.b(z)).mean((2, 3)))


@network("dilated_flat")
class DilatedFlat(Dilated):
    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv(x))
        z = F.relu(F.conv2d(x, self.conv.weight, self.conv.bias, padding=2, dilation=2))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(F.relu(self.a(y) + self.b(z)), 1), 1))


@network("functional_batchnorm")
class FunctionalBatchNorm(Classifier):
    """A module's statistics in a function, as code with several sets of them has it."""

    def __init__(self) -> None:
        super().__init__()
        self.bn, self.conv2 = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1)

    def features(self, x: Tensor) -> Tensor:
        bn = self.bn
        x = F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, self.training)
        return F.relu(self.conv2(x))


@network("batchnorm_twice")
class BatchNormTwice(Classifier):
    """One normalization after two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.bn, self.a, self.b = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def features(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.b(F.relu(self.bn(self.a(x))))))


@network("kinds")
class Kinds(Classifier):
    """Dilated, depthwise, grouped, transposed."""

    def __init__(self) -> None:
        super().__init__(width=6)
        self.dilated, self.bn = nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.BatchNorm2d(8)
        self.depthwise, self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 16, 1, groups=4)
        self.transposed = nn.ConvTranspose2d(16, 6, 2, stride=2)
        self.transposed_grouped = nn.ConvTranspose2d(6, 6, 3, stride=2, padding=1, groups=3)

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.depthwise(F.relu(self.bn(self.dilated(x)))))
        return F.relu(self.transposed_grouped(F.relu(self.transposed(F.relu(self.grouped(x))))))


@network("transposed")
class TransposedConvolutions(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(8, 16, 2, stride=2), nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.bn = nn.BatchNorm2d(8)

    def features(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.up(F.relu(self.down(x)))))


@network("paddings_within")
def paddings_within() -> nn.Module:
    """Convolutions that pad otherwise than with zeros, by a word, or on one side more."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.Conv2d(8, 8, (1, 3), padding="same"),
        nn.ReLU(), nn.Conv2d(8, 8, 2, padding="same", padding_mode="reflect"), nn.ReLU(),
        nn.Conv2d(8, 8, (3, 1), stride=(2, 1), padding="valid"), nn.ReLU(), *head(8),
    )  # fmt: skip


@network("scaled_residual")
class ScaledResidual(Classifier):
    """A learned factor for each channel (LayerScale)."""

    def __init__(self) -> None:
        super().__init__()
        self.b, self.scale = nn.Conv2d(8, 8, 3, padding=1), nn.Parameter(torch.full((8, 1, 1), 0.1))

    def features(self, x: Tensor) -> Tensor:
        return x + self.scale * self.b(x)


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))


@network("resnet")
def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), Residual(8, 8, 1), Residual(8, 16, 2), *head(16)
    )


@network("bottleneck_preactivated")
class BottleneckPreactivated(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for width in (8, 4, 4))
        self.convs = nn.ModuleList([nn.Conv2d(8, 4, 1), nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 8, 1)])

    def features(self, x: Tensor) -> Tensor:
        y = x
        for bn, conv in zip(self.bns, self.convs, strict=True):
            y = conv(F.relu(bn(y)))
        return x + y


@network("resnext")
class Resnext(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Conv2d(8, 16, 1), nn.Conv2d(16, 8, 1)
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=4)

    def features(self, x: Tensor) -> Tensor:
        return F.relu(x + self.out(F.relu(self.grouped(F.relu(self.into(x))))))


@network("densenet")
class Densenet(Classifier):
    """Each layer reads all before it."""

    def __init__(self) -> None:
        super().__init__(width=16)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 4, 3, padding=1)) for width in (8, 12)
        )

    def features(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


@network("inception")
class Inception(Classifier):
    def __init__(self) -> None:
        super().__init__(width=16)
        self.one, self.three, self.pooled = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 4, 1)

    def features(self, x: Tensor) -> Tensor:
        pooled = F.max_pool2d(x, 3, stride=1, padding=1)
        return F.relu(torch.cat([self.one(x), self.three(x), self.pooled(pooled)], dim=1))


@network("fire")
class Fire(Classifier):
    """SqueezeNet, with a convolution as the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze, self.one, self.three = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1), nn.Conv2d(4, 8, 3, padding=1)
        self.fc, self.classify = nn.Identity(), nn.Conv2d(16, 10, 1)

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return self.classify(torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], 1))


@network("unet")
class Unet(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(8, 16, 3, padding=1), nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.merge = nn.Conv2d(16, 8, 3, padding=1)

    def features(self, x: Tensor) -> Tensor:
        up = self.up(F.relu(self.down(F.max_pool2d(x, 2))))
        return F.relu(self.merge(torch.cat([x, up], 1)))


@network("feature_pyramid")
class FeaturePyramid(Classifier):
    """A sum of two resolutions, one of them interpolated."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.lateral, self.top = nn.Conv2d(8, 12, 3, 2, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(12, 8, 1)

    def features(self, x: Tensor) -> Tensor:
        top = self.top(F.relu(self.down(x)))
        return F.relu(self.lateral(x) + F.interpolate(top, size=x.shape[-2:], mode="nearest"))


@network("squeeze_excite")
class SqueezeExcite(Classifier):
    def __init__(self) -> None:
        super().__init__()
        self.conv2, self.down, self.up = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 4), nn.Linear(4, 8)

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(x))
        scale = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return x * scale[:, :, None, None]


@network("efficient_attention")
class EfficientAttention(Classifier):
    """ECA: a convolution over channels (Wang et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2, self.over_channels = nn.Conv2d(8, 8, 3, padding=1), nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(x))
        return x * self.over_channels(x.mean((2, 3))[:, None]).sigmoid().transpose(1, 2)[..., None]


@network("spatial_attention")
class SpatialAttention(Classifier):
    """CBAM (Woo et al. 2018): mean and maximum over channels decide where to look."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2, self.look = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(2, 1, 3, padding=1)

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(x))
        return x * self.look(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)).sigmoid()


@network("mobile")
class Mobile(Classifier):
    """MobileNetV2's inverted residual, with ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(inplace=True),
            nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6(inplace=True),
            nn.Conv2d(16, 8, 1, bias=False), nn.BatchNorm2d(8),
        )  # fmt: skip

    def features(self, x: Tensor) -> Tensor:
        return x + self.block(x)


@network("mobile_with_hardswish")
class MobileWithHardswish(Classifier):
    """MobileNetV3's, with hardswish and a squeeze that ends in a hardsigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.depthwise = nn.Conv2d(8, 16, 1), nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), nn.Hardsigmoid()
        )
        self.down = nn.Conv2d(16, 8, 1)

    def features(self, x: Tensor) -> Tensor:
        y = F.hardswish(self.depthwise(F.hardswish(self.up(x))))
        return x + self.down(y * self.squeeze(y))


@network("shuffled_groups")
class ShuffledGroups(Classifier):
    """ShuffleNetV2: half of the channels go through, and all are shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 4, 1), nn.ReLU()
        )

    def features(self, x: Tensor) -> Tensor:
        one, two = x.chunk(2, dim=1)
        x = torch.cat([one, self.branch(two)], 1)
        return x.view(len(x), 2, 4, 8, 8).transpose(1, 2).reshape(len(x), 8, 8, 8)


@network("ghosts")
class Ghosts(Classifier):
    """Half of the channels are cheap depthwise copies of the others (Han et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.primary, self.cheap = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4)

    def features(self, x: Tensor) -> Tensor:
        primary = F.relu(self.primary(x))
        return torch.cat([primary, F.relu(self.cheap(primary))], 1)


class LayerNorm(nn.Module):
    """A layer norm of one's own, as ConvNeXt's code has it: over the channels, which come first."""

    def __init__(self, width: int, by_hand: bool) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.by_hand = by_hand

    def forward(self, x: Tensor) -> Tensor:
        if not self.by_hand:
            return F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias).permute(0, 3, 1, 2)
        centred = x - x.mean(1, keepdim=True)
        return centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt() * self.weight[:, None, None] + (
            self.bias[:, None, None]
        )


class ConvNext(Classifier):
    def __init__(self, by_hand: bool) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(8, 8, 7, padding=3, groups=8), LayerNorm(8, by_hand)
        self.up, self.down, self.scale = nn.Linear(8, 16), nn.Linear(16, 8), nn.Parameter(torch.full((8,), 1e-1))

    def features(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x)).permute(0, 2, 3, 1)
        return x + (self.scale * self.down(F.gelu(self.up(y)))).permute(0, 3, 1, 2)


@network("convnext")
def convnext() -> nn.Module:
    return ConvNext(by_hand=False)


@network("convnext_by_hand")
def convnext_by_hand() -> nn.Module:
    return ConvNext(by_hand=True)


@network("standardized_batch")
class StandardizedBatch(Classifier):
    """Activations less their mean, over the deviation of the batch or of the image, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)

    def features(self, x: Tensor) -> Tensor:
        x = self.conv2((x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1e-3))
        return F.relu(x - x.mean(1, keepdim=True))


@network("response_norm")
class ResponseNorm(Classifier):
    """Filter response normalization with its own activation (Singh and Krishnan 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.gamma, self.beta, self.tau = (nn.Parameter(torch.full((1, 8, 1, 1), value)) for value in (1.0, 0.0, 0.0))

    def features(self, x: Tensor) -> Tensor:
        x = self.conv2(x)
        x = x * (x.square().mean((2, 3), keepdim=True) + 1e-6).rsqrt()
        return torch.maximum(self.gamma * x + self.beta, self.tau)


@network("both_signs")
class BothSigns(Classifier):
    """CReLU (Shang et al. 2016): what is negative goes on, too."""

    def __init__(self) -> None:
        super().__init__(width=16)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)

    def features(self, x: Tensor) -> Tensor:
        x = self.conv2(x)
        return F.relu(torch.cat([x, -x], 1))


@network("non_local")
class NonLocal(Classifier):
    """Wang et al. 2018: attention between all positions, made of 1x1 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.theta, self.phi, self.g, self.out = (nn.Conv2d(a, b, 1) for a, b in ((8, 4), (8, 4), (8, 4), (4, 8)))

    def features(self, x: Tensor) -> Tensor:
        theta, phi, g = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))
        read = g @ torch.softmax(theta.transpose(1, 2) @ phi, -1).transpose(1, 2)
        return x + self.out(read.view(len(x), 4, *x.shape[2:]))


@network("spatial_transformer")
class SpatialTransformer(Classifier):
    """The network turns the image before it looks at it (Jaderberg et al. 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.locate, self.conv2 = nn.Linear(8, 6), nn.Conv2d(8, 8, 3, padding=1)

    def features(self, x: Tensor) -> Tensor:
        plain = torch.tensor([1.0, 0, 0, 0, 1, 0], dtype=x.dtype)
        theta = (plain + 0.1 * self.locate(x.mean((2, 3))).tanh()).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return F.relu(self.conv2(F.grid_sample(x, grid, align_corners=False)))


@network("coordinates")
class Coordinates(Classifier):
    """CoordConv (Liu et al. 2018): where a pixel is, as two more channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2 = nn.Conv2d(10, 8, 3, padding=1)
        rows = torch.linspace(0, 1, 8)
        self.register_buffer("places", torch.stack(torch.meshgrid(rows, rows, indexing="ij"))[None])

    def features(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(torch.cat([x, self.places.expand(len(x), -1, -1, -1)], 1)))


@network("shifted")
class Shifted(Classifier):
    """Channels move by a pixel instead of being convolved, and a mean of rolls is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(8, 8, 1)

    def features(self, x: Tensor) -> Tensor:
        parts = [part.roll(shift, axis) for part, (shift, axis) in zip(
            x.split(2, 1), ((1, 2), (-1, 2), (1, 3), (-1, 3)), strict=True
        )]  # fmt: skip
        return F.relu(self.mix(torch.cat(parts, 1)))


@network("selected")
class Selected(Classifier):
    """Channels by number: a slice, an index, a subset."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(3, 8, 1)

    def features(self, x: Tensor) -> Tensor:
        return F.relu(self.a(x[:, ::2]) + self.b(x[:, [0, 3, 5]]) * x[:, 1:2])


@network("shake")
class Shake(Classifier):
    """Two branches that are mixed at random in training (Gastaldi 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def features(self, x: Tensor) -> Tensor:
        part = torch.rand(len(x), 1, 1, 1) if self.training else 0.5
        return x + part * F.relu(self.a(x)) + (1 - part) * F.relu(self.b(x))


@network("multi_scale")
class MultiScale(Classifier):
    """Pyramid pooling (Zhao et al. 2017): the averages of grids, spread over the image again."""

    def __init__(self) -> None:
        super().__init__()
        self.convs, self.merge = nn.ModuleList(nn.Conv2d(8, 4, 1) for _ in range(2)), nn.Conv2d(16, 8, 1)

    def features(self, x: Tensor) -> Tensor:
        pooled = [conv(F.adaptive_avg_pool2d(x, size)) for conv, size in zip(self.convs, (1, 2), strict=True)]
        spread = [F.interpolate(one, scale_factor=8 // one.shape[-1]) for one in pooled]
        return F.relu(self.merge(torch.cat([x, *spread], 1)))


@network("generalized_mean")
class GeneralizedMean(Classifier):
    """GeM pooling with a learned exponent (Radenović et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2, self.p = nn.Conv2d(8, 8, 3, padding=1), nn.Parameter(torch.tensor(3.0))

    def features(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(x)).clamp(min=1e-6)
        return F.avg_pool2d(x.pow(self.p), 8).pow(1 / self.p)


@network("statistics_pooling")
class StatisticsPooling(nn.Module):
    """Mean, deviation and maximum of each channel, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.conv2, self.fc = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv(x)))).flatten(2)
        return self.fc(torch.cat([x.mean(2), x.std(2), x.amax(2)], 1))
