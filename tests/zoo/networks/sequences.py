"""Networks that read an image as a sequence of rows: recurrent ones, attention, mixing over positions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.networks.registry import network

WIDTH = 8


class OfRows(nn.Module):
    """Reads (N, 8 rows, 8); the subclass's ``read`` gives (N, rows, width), of which the mean is classified.

    With ``pooled = False`` it gives (N, width).
    """

    pooled = True

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.embed, self.last = nn.Linear(8, WIDTH), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.read(self.embed(x[:, 0]))
        return self.last(x.mean(1) if self.pooled else x)

    def read(self, x: Tensor) -> Tensor:
        raise NotImplementedError


@network("rnn")
class Rnn(OfRows):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.RNN(WIDTH, WIDTH, num_layers=2, batch_first=True, nonlinearity="relu")

    def read(self, x: Tensor) -> Tensor:
        return self.cells(x)[0]


@network("gru")
class Gru(OfRows):
    pooled = False

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def read(self, x: Tensor) -> Tensor:
        return self.cells(x)[1][-1]


@network("lstm")
class Lstm(OfRows):
    pooled = False

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(WIDTH, WIDTH, batch_first=True)

    def read(self, x: Tensor) -> Tensor:
        return self.cells(x)[0][:, -1]


@network("lstm_both_ways")
class LstmBothWays(OfRows):
    def __init__(self) -> None:
        super().__init__(width=8)
        self.cells = nn.LSTM(WIDTH, WIDTH, proj_size=4, bidirectional=True, batch_first=True)

    def read(self, x: Tensor) -> Tensor:
        return self.cells(x)[0]


@network("cells")
class Cells(OfRows):
    """One cell of each kind, stepped through by hand."""

    pooled = False

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.gated = nn.RNNCell(WIDTH, WIDTH), nn.GRUCell(WIDTH, WIDTH)
        self.long = nn.LSTMCell(WIDTH, WIDTH)

    def read(self, x: Tensor) -> Tensor:
        a = b = c = d = torch.zeros_like(x[:, 0])
        for row in x.unbind(1):
            a = self.plain(row, a)
            b = self.gated(a, b)
            c, d = self.long(b, (c, d))
        return c


@network("recurrent_by_hand")
class RecurrentByHand(OfRows):
    """Linear layers that are used once for every row."""

    pooled = False

    def __init__(self) -> None:
        super().__init__()
        self.into, self.again = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)

    def read(self, x: Tensor) -> Tensor:
        state = torch.zeros_like(x[:, 0])
        for row in x.unbind(1):
            state = torch.tanh(self.into(row) + self.again(state))
        return state


@network("attention")
class Attention(OfRows):
    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def read(self, x: Tensor) -> Tensor:
        return x + self.attend(x, x, x, need_weights=False)[0]


@network("attention_to_other_widths")
class AttentionToOtherWidths(OfRows):
    """Keys and values of other widths, so that the projections are not packed."""

    def __init__(self) -> None:
        super().__init__()
        self.keys, self.values = nn.Linear(WIDTH, 6), nn.Linear(WIDTH, 4)
        self.attend = nn.MultiheadAttention(WIDTH, 2, kdim=6, vdim=4, add_bias_kv=True)

    def read(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)
        return self.attend(x, self.keys(x), self.values(x))[0].transpose(0, 1)


@network("attention_by_hand")
class AttentionByHand(OfRows):
    """Queries, keys and values of one layer, split, as in timm."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def read(self, x: Tensor) -> Tensor:
        queries, keys, values = self.qkv(x).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        weights = (queries @ keys.transpose(-2, -1) / 2).softmax(-1)
        return self.out((weights @ values).transpose(1, 2).flatten(2))


@network("attention_by_einsum")
class AttentionByEinsum(OfRows):
    """Causal, with a bias for every pair of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.bias = nn.Parameter(torch.zeros(8, 8))

    def read(self, x: Tensor) -> Tensor:
        scores = torch.einsum("nqd,nkd->nqk", self.q(x), self.k(x)) + self.bias
        hidden = torch.ones(8, 8, dtype=torch.bool).triu(1)
        return torch.einsum("nqk,nkd->nqd", scores.masked_fill(hidden, -torch.inf).softmax(-1), self.v(x))


@network("rotary_attention")
class RotaryAttention(OfRows):
    """Positions turn queries and keys, seen as complex numbers (Su et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        angles = torch.outer(torch.arange(8.0), torch.tensor([1.0, 0.1, 0.01, 0.001]))
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles), persistent=False)

    def turned(self, x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
        return torch.view_as_real(pairs * self.turns).flatten(-2)

    def read(self, x: Tensor) -> Tensor:
        queries, keys, values = self.qkv(x).chunk(3, -1)
        return self.out(F.scaled_dot_product_attention(self.turned(queries), self.turned(keys), values))


@network("linear_attention")
class LinearAttention(OfRows):
    """No softmax: keys and values are summed first (Katharopoulos et al. 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def read(self, x: Tensor) -> Tensor:
        queries, keys = F.elu(self.q(x)) + 1, F.elu(self.k(x)) + 1
        norm = (queries * keys.sum(1, keepdim=True)).sum(-1, keepdim=True)
        return queries @ (keys.transpose(1, 2) @ self.v(x)) / norm


@network("vit")
class Vit(OfRows):
    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 8, WIDTH) * 0.02)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def read(self, x: Tensor) -> Tensor:
        return self.encoder(x + self.positions)


@network("vit_class_token")
class VitClassToken(nn.Module):
    """Patches by a strided convolution, a token for the class, normalization first, GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(1, WIDTH, 2, stride=2), nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.randn(1, 17, WIDTH) * 0.02)
        self.layer = nn.TransformerEncoderLayer(
            WIDTH, 2, 16, dropout=0.0, activation="gelu", norm_first=True, batch_first=True
        )
        self.norm, self.last = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.last(self.norm(self.layer(x))[:, 0])


@network("transformer")
class Transformer(OfRows):
    """Encoder and decoder; ten learned queries, one for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.Transformer(WIDTH, 2, 1, 1, 16, dropout=0.0, batch_first=True)
        self.queries, self.last = nn.Parameter(torch.randn(1, 10, WIDTH)), nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x[:, 0])
        return self.last(self.transformer(x, self.queries.expand(len(x), -1, -1))).squeeze(-1)


@network("perceiver")
class Perceiver(OfRows):
    """Learned latents look at the rows (Jaegle et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, 3, WIDTH))
        self.look = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def read(self, x: Tensor) -> Tensor:
        return self.look(self.latents.expand(len(x), -1, -1), x, x)[0]


@network("windows")
class Windows(nn.Module):
    """Attention within shifted windows, with functions instead of a module, as in torchvision's Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.qkv = nn.Conv2d(1, WIDTH, 2, stride=2), nn.Linear(WIDTH, 3 * WIDTH)
        self.proj, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).permute(0, 2, 3, 1)
        windows = torch.roll(x, (-1, -1), (1, 2)).unfold(1, 2, 2).unfold(2, 2, 2).flatten(4).transpose(3, 4)
        queries, keys, values = F.linear(windows, self.qkv.weight, self.qkv.bias).chunk(3, -1)
        read = (queries @ keys.transpose(-2, -1)).softmax(-1) @ values
        return self.last(F.linear(read, self.proj.weight, self.proj.bias).mean((1, 2, 3)))


@network("mixer")
class Mixer(OfRows):
    """Tolstikhin et al. 2021: linear layers over positions and over channels in turns."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.tokens = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))
        self.channels = nn.Sequential(nn.Linear(WIDTH, 12), nn.GELU(), nn.Linear(12, WIDTH))

    def read(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norms[1](x))


@network("gmlp")
class Gmlp(OfRows):
    """Liu et al. 2021: half of the channels, mixed over positions, gate the other half."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 16), nn.Linear(8, WIDTH)
        self.gate_norm, self.spatial = nn.LayerNorm(8), nn.Conv1d(8, 8, 1)

    def read(self, x: Tensor) -> Tensor:
        value, gate = F.gelu(self.up(self.norm(x))).chunk(2, -1)
        return x + self.down(value * self.spatial(self.gate_norm(gate)))


@network("fourier_mixing")
class FourierMixing(OfRows):
    """FNet (Lee-Thorp et al. 2021): a Fourier transform instead of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.feed = nn.LayerNorm(WIDTH), nn.Sequential(nn.Linear(WIDTH, 16), nn.GELU(), nn.Linear(16, WIDTH))

    def read(self, x: Tensor) -> Tensor:
        return self.feed(self.norm(x + torch.fft.fft2(x).real))


@network("gated_convolutions")
class GatedConvolutions(OfRows):
    """WaveNet (van den Oord et al. 2016): causal, dilated, gated, and a sum of skips."""

    pooled = False

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.ModuleList(nn.Conv1d(WIDTH, 2 * WIDTH, 2, dilation=2**i) for i in range(2))
        self.outs, self.skips = (nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 1) for _ in range(2)) for _ in range(2))

    def read(self, x: Tensor) -> Tensor:
        x, total = x.transpose(1, 2), torch.zeros_like(x).transpose(1, 2)
        for i, (gate, out, skip) in enumerate(zip(self.gates, self.outs, self.skips, strict=True)):
            value, part = gate(F.pad(x, (2**i, 0))).chunk(2, 1)
            y = value.tanh() * part.sigmoid()
            x, total = x + out(y), total + skip(y)
        return F.relu(total).mean(2)


@network("swiglu")
class Swiglu(OfRows):
    """The feed-forward part of LLaMA: RMSNorm, and a product of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(WIDTH)
        self.gate, self.up, self.down = (nn.Linear(a, b, bias=False) for a, b in ((8, 16), (8, 16), (16, 8)))

    def read(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


@network("state_space")
class StateSpace(OfRows):
    """A diagonal linear recurrence, step by step, with a learned decay."""

    pooled = False

    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.linspace(-2, 2, WIDTH))
        self.into, self.gate = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def read(self, x: Tensor) -> Tensor:
        state, decay = torch.zeros_like(x[:, 0]), self.decay.sigmoid()
        for row in x.unbind(1):
            state = decay * state + self.into(row) * self.gate(row).sigmoid()
        return state
