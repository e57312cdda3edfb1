"""How often a weight is used for one image."""

import pytest
import torch
from torch import Tensor, nn

from models import ImageShape, ModelHparams, build
from pruning.weight_use import output_positions


def test_a_small_network_by_hand() -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),  # 6x8 -> 6x8
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=2),  # -> 3x4
        nn.ReLU(),
        nn.ConvTranspose2d(4, 1, 2, stride=2),  # each weight meets each of the 3x4 pixels of the input
        nn.Flatten(),
        nn.Linear(6 * 8, 5),
    )
    expected = {"0.weight": 48, "1.weight": 12, "3.weight": 12, "5.weight": 1}
    assert output_positions(model, ImageShape(2, 6, 8, 5)) == expected


def test_positions_count_multiplications() -> None:
    """With all weights and inputs 1 and no padding, the outputs of a layer add up to its multiply-adds."""
    layer = nn.Conv2d(3, 6, 3, stride=2, groups=3, bias=False)
    nn.init.ones_(layer.weight)
    positions = output_positions(layer, ImageShape(3, 9, 7, 1))
    assert positions["weight"] * layer.weight.numel() == layer(torch.ones(1, 3, 9, 7)).sum().item()


class Unusual(nn.Module):
    """A layer used twice, one never, one with another's weight, one on each row; a tensor made on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Conv2d(1, 1, 1)
        self.tied = nn.Conv2d(1, 1, 1)
        self.tied.weight = self.twice.weight
        self.never = nn.Linear(9, 9)
        self.rows = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tied(self.twice(self.twice(x))) + torch.ones(4)
        return self.rows(x).flatten(1)


def test_unusual_networks() -> None:
    expected = {"twice.weight": 3 * 20, "never.weight": 0, "rows.weight": 5}
    assert output_positions(Unusual(), ImageShape(1, 5, 4, 10)) == expected


def test_resnet() -> None:
    shape = ImageShape(3, 32, 32, 10)
    model = build(ModelHparams(model="cifar_resnet_20"), shape, torch.Generator())
    positions = output_positions(model, shape)
    weights = {name: parameter.numel() for name, parameter in model.named_parameters()}
    total = sum(weights[name] * positions[name] for name in positions)
    convolutions = 3 * 16 * 9 * 1024 + 6 * 16 * 16 * 9 * 1024
    for channels, pixels in ((32, 256), (64, 64)):
        half = channels // 2
        convolutions += pixels * channels * (half * 9 + half + 5 * channels * 9)
    assert total == convolutions + 64 * 10
    assert list(positions) == [name for name in weights if name.endswith("weight") and "bn" not in name]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_model_is_left_untouched(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).to(dtype)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    output_positions(model, ImageShape(1, 5, 5, 2))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(layer._forward_hooks for layer in model.modules())


def test_matrix_products_and_recurrent_layers_count_too() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.cell = nn.GRU(8, 5, batch_first=True), nn.LSTMCell(5, 4)
            self.weight, self.queries = nn.Parameter(torch.ones(4, 3)), nn.Parameter(torch.ones(6, 3))

        def forward(self, x: Tensor) -> Tensor:
            steps = self.rnn(x[:, 0])[0]
            hidden, _ = self.cell(steps[:, -1])
            rows = torch.stack([hidden, hidden]) @ (2 * self.weight)  # of two rows
            return rows @ self.queries.t() + (self.queries @ self.queries.t()).sum()  # a constant is not counted

    assert output_positions(Mixed(), ImageShape(1, 7, 8, 10)) == {
        "weight": 2, "queries": 2, "rnn.weight_ih_l0": 7, "rnn.weight_hh_l0": 7, "cell.weight_ih": 1,
        "cell.weight_hh": 1,
    }  # fmt: skip
