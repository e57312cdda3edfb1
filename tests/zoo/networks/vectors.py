"""Networks of linear layers: odd parameters, odd modules, odd ways to multiply."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.zoo.networks.registry import mlp, network

network("mlp")(mlp)


@network("tied")
def tied() -> nn.Module:
    model = mlp()
    model[5].weight = model[3].weight
    return model


@network("tied_transposed")
class TiedTransposed(nn.Module):
    """An autoencoder whose decoder has the encoder's weights, transposed, beside a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.classify = nn.Linear(64, 16), nn.Linear(80, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        code = F.relu(self.encode(x))
        return self.classify(torch.cat([code, F.linear(code, self.encode.weight.t())], 1))


@network("flat_parameters")
def flat_parameters() -> nn.Module:
    """All parameters are views of one vector."""
    model = mlp()
    vector = nn.utils.parameters_to_vector(model.parameters()).clone()
    nn.utils.vector_to_parameters(vector, model.parameters())
    return model


@network("sliced")
def sliced() -> nn.Module:
    """A parameter that is a view with gaps."""
    model = mlp()
    model[3].weight = nn.Parameter(nn.Linear(64, 16).weight.data[:, :16])
    return model


@network("low_rank")
def low_rank() -> nn.Module:
    """Rows of a singular value decomposition, which are transposed in memory."""
    model = mlp()
    u, s, vh = torch.linalg.svd(model[3].weight.data)
    down, up = nn.Linear(16, 8, bias=False), nn.Linear(8, 16)
    down.weight, up.weight = nn.Parameter(vh[:8]), nn.Parameter(u[:, :8] * s[:8])
    model[3] = nn.Sequential(down, up)
    return model


@network("transposed_in_memory")
def transposed_in_memory() -> nn.Module:
    model = mlp()
    model[3].weight = nn.Parameter(model[3].weight.detach().t().contiguous().t())
    return model


@network("frozen")
def frozen() -> nn.Module:
    model = mlp()
    model[1].requires_grad_(False)
    return model


@network("pretrained")
def pretrained() -> nn.Module:
    """A network that comes with weights of its own: the same ones however often it is made."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        return mlp()


@network("integer_parameter")
class IntegerParameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net, self.step = mlp(), nn.Parameter(torch.tensor(3), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


@network("double")
def double() -> nn.Module:
    return mlp().double()


@network("bfloat16")
def bfloat16() -> nn.Module:
    return mlp().bfloat16()


@network("lazy")
def lazy() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(10))


@network("lazy_seen")
def lazy_seen() -> nn.Module:
    """Lazy layers that have seen a batch, as their documentation asks for."""
    model = nn.Sequential(
        nn.LazyConv2d(8, 3, padding=1), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
    )
    model(torch.rand(2, 1, 8, 8))
    return model


@network("normalizes_inside")
class NormalizesInside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()
        self.register_buffer("mean", torch.tensor(0.5))
        self.register_buffer("std", torch.tensor(0.25), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x - self.mean) / self.std)


@network("log_softmax")
def log_softmax() -> nn.Module:
    return nn.Sequential(*mlp(), nn.LogSoftmax(1))


@network("softmax")
def softmax() -> nn.Module:
    return nn.Sequential(*mlp(), nn.Softmax(1))


@network("highway")
class Highway(nn.Module):
    """Srivastava et al. 2015: a gate decides between a layer and its input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)
        self.layers, self.gates = (nn.ModuleList(nn.Linear(16, 16) for _ in range(2)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        for layer, gate in zip(self.layers, self.gates, strict=True):
            part = torch.sigmoid(gate(x))
            x = part * F.relu(layer(x)) + (1 - part) * x
        return self.last(x)


@network("residual_mlp")
class ResidualMlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)
        self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))
        return self.last(x + self.b(F.relu(self.a(x))))


@network("looped")
class Looped(nn.Module):
    """One layer that is applied three times."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.last = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        for _ in range(3):
            x = F.relu(self.again(x))
        return self.last(x)


@network("bilinear")
class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.top, self.bottom, self.pair, self.last = (
            nn.Linear(32, 8), nn.Linear(32, 8), nn.Bilinear(8, 8, 16), nn.Linear(16, 10),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        top, bottom = x.flatten(1).chunk(2, 1)
        return self.last(F.relu(self.pair(F.relu(self.top(top)), F.relu(self.bottom(bottom)))))


@network("maxout")
class Maxout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 48), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x.flatten(1)).unflatten(1, (16, 3)).amax(2))


@network("experts")
class Experts(nn.Module):
    """A soft mixture of experts in a ModuleDict."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(64, 2)
        self.experts = nn.ModuleDict({"one": mlp(8), "two": mlp(8)})

    def forward(self, x: Tensor) -> Tensor:
        shares = self.gate(x.flatten(1)).softmax(1)
        return sum(shares[:, i, None] * expert(x) for i, expert in enumerate(self.experts.values()))


@network("functional")
class Functional(nn.Module):
    """No layers at all: parameters in a list and in a dictionary, handed to functions."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(16, 64) / 8), nn.Parameter(torch.randn(10, 16) / 4)])
        self.biases = nn.ParameterDict({"a": nn.Parameter(torch.zeros(16)), "b": nn.Parameter(torch.zeros(10))})

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.linear(x.flatten(1), self.weights[0], self.biases["a"]))
        return F.linear(x, self.weights[1], self.biases["b"])


@network("functional_use")
class FunctionalUse(nn.Module):
    """Layers that only hold their parameters; one of them is used as a part of a larger product, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.linear(x.flatten(1), self.first.weight, self.first.bias))
        x = F.relu(self.middle(x) + F.linear(x[:, :8], self.middle.weight[:, :8]))
        return x @ self.last.weight.T + self.last.bias


@network("einsum")
class Einsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.columns = nn.Parameter(torch.randn(4, 8) / 3), nn.Parameter(torch.randn(4, 8) / 3)
        self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.einsum("nhw,ph,qw->npq", x[:, 0], self.rows, self.columns)
        return self.last(F.relu(x).flatten(1))


@network("complex_views")
class ComplexViews(nn.Module):
    """A complex product of halves of the image, seen as real and imaginary parts."""

    def __init__(self) -> None:
        super().__init__()
        self.filter, self.last = nn.Parameter(torch.randn(32, 2) / 4), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.view_as_complex(x.reshape(len(x), 32, 2)) * torch.view_as_complex(self.filter)
        return self.last(torch.view_as_real(x).flatten(1))


@network("complex_weights")
class ComplexWeights(nn.Module):
    """A Fourier layer (Li et al. 2021): complex parameters multiply the spectrum."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(8, 5, dtype=torch.complex64))
        self.last = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.fft.irfft2(torch.fft.rfft2(x[:, 0]) * self.filter, s=(8, 8))
        return self.last(F.gelu(x).flatten(1))


@network("sine")
class Sine(nn.Module):
    """Sitzmann et al. 2020: sines as activations."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.sin(self.second(torch.sin(self.first(x.flatten(1))))))


@network("random_features")
class RandomFeatures(nn.Module):
    """A projection that is a buffer, before a trained layer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("projection", torch.randn(64, 32) / 8)
        self.last = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = 2 * math.pi * x.flatten(1) @ self.projection
        return self.last(torch.cat([x.sin(), x.cos()], 1))


@network("embedding")
class Embedding(nn.Module):
    """Pixels as one of 17 words, and the image as a bag of them."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.bag, self.last = nn.Embedding(17, 4), nn.EmbeddingBag(17, 8), nn.Linear(64 * 4 + 8, 10)

    def forward(self, x: Tensor) -> Tensor:
        words = (x.flatten(1).nan_to_num().clamp(0, 1) * 16).long()
        return self.last(torch.cat([self.words(words).flatten(1), self.bag(words)], 1))


@network("siamese")
class Siamese(nn.Module):
    """Both halves of an image through the same layers, in one batch of twice the size."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.last = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 8)), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        top, bottom = self.each(torch.cat(x.flatten(1).chunk(2, 1))).chunk(2)
        return self.last(F.relu(torch.cat([(top - bottom).abs(), top * bottom], 1)))


@network("several_heads")
class SeveralHeads(nn.Module):
    """One small layer for each class, and nested lists of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 16)
        self.heads = nn.ModuleList(nn.ModuleList([nn.Linear(16, 4), nn.Linear(4, 1)]) for _ in range(10))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        return torch.cat([out(F.relu(into(x))) for into, out in self.heads], 1)


@network("dict_output")
class DictOutput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.net(x)}


@network("tuple_output")
class TupleOutput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.net(x)
        return scores, scores.softmax(1)


@network("tuple_in_training")
class TupleInTraining(nn.Module):
    """An auxiliary classifier that only training has, as torchvision's Inception."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.aux, self.last = nn.Linear(64, 16), nn.Linear(16, 10), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = F.relu(self.first(x.flatten(1)))
        return (self.last(x), self.aux(x)) if self.training else self.last(x)


@network("unused_layer")
class UnusedLayer(nn.Module):
    """A layer that the forward pass leaves out, as projection heads after pre-training."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.projection = mlp(), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


@network("two_paths")
class TwoPaths(nn.Module):
    """Which way it goes depends on the images."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.other = mlp(8), mlp(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if x.mean() >= 0 else self.net(x) + self.other(x)


@network("checkpointed")
class Checkpointed(nn.Module):
    """The middle is computed again in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        x = checkpoint(lambda y: F.relu(self.middle(y)), x, use_reentrant=False)
        return self.last(x)


class Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient * (ctx.saved_tensors[0] > 0)


@network("own_function")
class OwnFunction(nn.Module):
    """An activation with a backward pass of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(Rectify.apply(self.first(x.flatten(1))))


@network("hooked")
def hooked() -> nn.Module:
    """A hook changes what a layer gives."""
    model = mlp()
    model[3].register_forward_hook(double_output)
    return model


def double_output(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return 2 * output


@network("data_parallel")
def data_parallel() -> nn.Module:
    return nn.DataParallel(mlp())


@network("scripted")
def scripted() -> nn.Module:
    return torch.jit.script(mlp())


@network("squeezed")
class Squeezed(nn.Module):
    """Scores of (N, 10, 1, 1), squeezed, as fully convolutional networks have them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 8, 8), nn.Conv2d(8, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.first(x))).squeeze(-1).squeeze(-1)


@network("random_in_training")
class RandomInTraining(nn.Module):
    """Noise on activations, and layers that are left out by chance (Huang et al. 2016), in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x.flatten(1)))
        if self.training:
            x = x + 0.1 * torch.randn_like(x)
            kept = (torch.rand(len(x), 1) < 0.8).to(x.dtype) / 0.8
        else:
            kept = 1.0
        return self.last(x + kept * F.relu(self.middle(x)))
