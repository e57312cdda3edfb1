"""Networks whose weights are computed from their parameters."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils import prune as torch_prune

from tests.zoo.networks.registry import convnet, head, mlp, network


@network("weight_norm")
def weight_norm() -> nn.Module:
    model = mlp()
    parametrizations.weight_norm(model[3])
    return model


@network("weight_norm_everywhere")
def weight_norm_everywhere() -> nn.Module:
    model = mlp()
    for layer in (1, 3, 5, 7):
        parametrizations.weight_norm(model[layer])
    return model


@network("weight_norm_old")
def weight_norm_old() -> nn.Module:
    model = mlp()
    nn.utils.weight_norm(model[3])
    return model


@network("spectral_norm")
def spectral_norm() -> nn.Module:
    model = mlp()
    parametrizations.spectral_norm(model[3])
    return model


@network("spectral_norm_convolution")
def spectral_norm_convolution() -> nn.Module:
    model = convnet(nn.ReLU())
    parametrizations.spectral_norm(model[2])
    return model


@network("spectral_norm_old")
def spectral_norm_old() -> nn.Module:
    model = mlp()
    nn.utils.spectral_norm(model[3])
    return model


@network("orthogonal")
def orthogonal() -> nn.Module:
    model = mlp()
    parametrizations.orthogonal(model[3], orthogonal_map="householder")
    return model


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).transpose(-1, -2)


@network("symmetric")
def symmetric() -> nn.Module:
    model = mlp()
    parametrize.register_parametrization(model[3], "weight", Symmetric())
    return model


@network("torch_pruned")
def torch_pruned() -> nn.Module:
    model = mlp()
    torch_prune.l1_unstructured(model[3], "weight", 0.5)
    return model


@network("torch_pruned_called")
def torch_pruned_called() -> nn.Module:
    model = torch_pruned()
    model(torch.rand(2, 1, 8, 8))
    return model


@network("torch_pruned_channels")
def torch_pruned_channels() -> nn.Module:
    model = convnet(nn.ReLU())
    torch_prune.ln_structured(model[0], "weight", amount=2, n=2, dim=0)
    return model


@network("torch_pruned_removed")
def torch_pruned_removed() -> nn.Module:
    """Pruned and made permanent: plain weights, some of them zero."""
    model = torch_pruned()
    torch_prune.remove(model[3], "weight")
    return model


class StdConv2d(nn.Conv2d):
    """Weight standardization (Qiao et al. 2019), as in BiT and NF-Net."""

    def forward(self, x: Tensor) -> Tensor:
        mean, std = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3), keepdim=True)
        return F.conv2d(
            x, (self.weight - mean) / (std + 1e-5), self.bias, self.stride, self.padding, self.dilation, self.groups
        )


@network("standardized")
def standardized() -> nn.Module:
    return nn.Sequential(
        StdConv2d(1, 8, 3, padding=1), nn.ReLU(), StdConv2d(8, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.ReLU(), *head(8)
    )


class Scaled(nn.Linear):
    """The learning rate of StyleGAN's layers is equal: a constant multiplies their weights."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.in_features**-0.5, self.bias)


@network("equalized_learning_rate")
def equalized_learning_rate() -> nn.Module:
    return nn.Sequential(nn.Flatten(), Scaled(64, 16), nn.ReLU(), Scaled(16, 16), nn.ReLU(), nn.Linear(16, 10))


class CosineHead(nn.Linear):
    """Scores are cosines: features and weights are normalized."""

    def forward(self, x: Tensor) -> Tensor:
        return 10 * F.linear(F.normalize(x), F.normalize(self.weight), self.bias)


@network("cosine_head")
def cosine_head() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), CosineHead(16, 10, bias=False))


class Binary(nn.Linear):
    """Signs of weights, with the gradient passed straight through."""

    def forward(self, x: Tensor) -> Tensor:
        signs = torch.where(self.weight < 0, -1.0, 1.0).to(self.weight) * self.weight.detach().abs().mean()
        return F.linear(x, self.weight + (signs - self.weight).detach(), self.bias)


@network("binarized")
def binarized() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), Binary(16, 16), nn.ReLU(), nn.Linear(16, 10))


class Positive(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, F.softplus(self.weight), self.bias)


@network("monotone")
def monotone() -> nn.Module:
    """Weights that a softplus makes positive: one of zero is 0.69 where it is multiplied."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), Positive(16, 16), nn.Tanh(), nn.Linear(16, 10))


class Adapted(nn.Linear):
    """LoRA (Hu et al. 2022): a frozen weight plus a trained product of low rank."""

    def __init__(self, inputs: int, outputs: int, rank: int = 2) -> None:
        super().__init__(inputs, outputs)
        self.requires_grad_(False)
        self.down, self.up = nn.Parameter(torch.randn(rank, inputs) / 8), nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x @ self.down.T @ self.up.T


@network("lora")
def lora() -> nn.Module:
    return nn.Sequential(nn.Flatten(), Adapted(64, 16), nn.ReLU(), Adapted(16, 16), nn.ReLU(), nn.Linear(16, 10))


@network("merged_lora")
class MergedLora(nn.Module):
    """The sum of weight and product is what is multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 10)
        self.down, self.up = nn.Parameter(torch.randn(2, 16) / 4), nn.Parameter(torch.randn(16, 2) / 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        return self.last(F.relu(F.linear(x, self.middle.weight + self.up @ self.down, self.middle.bias)))


@network("hypernetwork")
class Hypernetwork(nn.Module):
    """Weights that a layer makes of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.make, self.last = nn.Linear(64, 8), nn.Linear(8, 64), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        made = self.make(x).unflatten(1, (8, 8))
        return self.last(F.relu(torch.bmm(made, x[:, :, None]).squeeze(2)))


@network("kernels_by_attention")
class KernelsByAttention(nn.Module):
    """CondConv (Yang et al. 2019): each image mixes a kernel of its own, applied as a grouped convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.route, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 2), nn.Linear(8, 10)
        self.kernels = nn.Parameter(torch.randn(2, 8, 4, 3, 3) / 6)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        kernels = torch.einsum("ne,eoihw->noihw", self.route(x.mean((2, 3))).sigmoid(), self.kernels)
        y = F.conv2d(x.reshape(1, -1, *x.shape[2:]), kernels.flatten(0, 1), padding=1, groups=len(x))
        return self.last(F.relu(y.view(len(x), 8, *x.shape[2:])).mean((2, 3)))


@network("fixed_filters")
class FixedFilters(nn.Module):
    """Blurring with a kernel that is a buffer (Zhang 2019), behind a trained convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, 10)
        kernel = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", (kernel[:, None] * kernel / 16).expand(8, 1, 3, 3).clone())

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(F.relu(self.conv(x)), self.kernel, stride=2, padding=1, groups=8)
        return self.last(x.mean((2, 3)))


@network("reparametrized")
class Reparametrized(nn.Module):
    """RepVGG (Ding et al. 2021): parallel kernels, added to one before they are applied."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.wide, self.narrow, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.wide.weight + F.pad(self.narrow.weight, [1, 1, 1, 1])
        x = F.relu(F.conv2d(F.relu(self.first(x)), kernel, self.wide.bias + self.narrow.bias, padding=1))
        return self.last(x.mean((2, 3)))
