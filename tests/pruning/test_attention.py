"""Networks with attention: all of its weights are pruned, counted and looked at."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from lottery.masks import sparsity_report
from models import ImageShape
from pruning import (
    Batches,
    Mask,
    PruningHparams,
    Strategy,
    effective_mask,
    has_path,
    left_dense,
    prunable,
    prune,
    strategies,
)  # fmt: skip
from pruning.methods.loss_gradients import gradients, loss
from pruning.scorer import plain_attention
from pruning.weight_use import output_positions
from tests.pruning.attention import IN_PROJECTION, OUT_PROJECTION, SHAPE, TOKENS, WIDTH, tiny_vit

IMAGES = ImageShape(*SHAPE, classes=3)
EITHER = pytest.mark.parametrize("batch_first", [True, False])


@pytest.fixture
def batches() -> Batches:
    generator = torch.Generator().manual_seed(1)
    return Batches.of([(torch.rand(6, *SHAPE, generator=generator), torch.arange(6) % 3)])


def test_prunable_are_packed_projections_too():
    names = [
        "patches.weight", IN_PROJECTION, OUT_PROJECTION, "block.linear1.weight", "block.linear2.weight", "fc.weight",
    ]  # fmt: skip
    assert list(prunable(tiny_vit())) == names
    assert list(left_dense(tiny_vit())) == ["position"]


def test_prunable_are_projections_of_their_own():
    attention = nn.MultiheadAttention(4, 2, kdim=3, vdim=5)
    assert list(prunable(attention)) == ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]


@EITHER
def test_every_projection_is_used_once_a_token(batch_first):
    model = tiny_vit(batch_first=batch_first)
    expected = dict.fromkeys(prunable(model), TOKENS) | {"fc.weight": 1, "position": 0}
    assert output_positions(model, IMAGES) == expected


class Reader(nn.Module):
    """Four queries of its own read an image's 64 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.zeros(1, 4, 6))
        self.attention = nn.MultiheadAttention(6, 2, kdim=1, vdim=1, batch_first=True)

    def forward(self, x):
        pixels = x.flatten(2).transpose(1, 2)
        return self.attention(self.queries.expand(len(x), -1, -1), pixels, pixels)[0].mean(1)


def test_queries_and_keys_of_different_numbers():
    positions = output_positions(Reader(), IMAGES)
    assert positions == {
        "queries": 0, "attention.q_proj_weight": 4, "attention.k_proj_weight": 64, "attention.v_proj_weight": 64,
        "attention.out_proj.weight": 4,
    }  # fmt: skip


@EITHER
def test_every_weight_lies_on_a_path(batch_first):
    model = tiny_vit(batch_first=batch_first)
    assert effective_mask(model, Mask.ones(model), SHAPE).density == 1
    assert has_path(model, Mask.ones(model), SHAPE)


@EITHER
def test_a_query_needs_its_key_and_an_output_its_value(batch_first):
    """The rows of the packed weight: queries, keys and values, of two heads each, of four rows each."""
    model = tiny_vit(batch_first=batch_first)
    full = Mask.ones(model)

    def effective_without(rows: slice) -> tuple[list[int], list[bool]]:
        entry = full[IN_PROJECTION].clone()
        entry[rows] = False
        effective = effective_mask(model, Mask({**full, IN_PROJECTION: entry}), SHAPE)
        rows_left = effective[IN_PROJECTION].any(1).nonzero().flatten().tolist()
        return rows_left, effective[OUT_PROJECTION].all(0).tolist()

    queries, keys, values = (range(part * WIDTH, (part + 1) * WIDTH) for part in range(3))
    assert effective_without(slice(keys[1], keys[2])) == (
        [row for row in range(3 * WIDTH) if row not in (queries[1], keys[1])], [True] * WIDTH,
    )  # fmt: skip
    rows_left, read = effective_without(slice(values[0], values[4]))  # the first head has nothing to hand on
    assert rows_left == [*queries[4:], *keys[4:], *values[4:]]
    assert read == [False] * 4 + [True] * 4


def test_no_path_leads_around_what_all_need():
    model = tiny_vit()
    for name in ("patches.weight", "fc.weight"):
        assert not has_path(model, Mask({**Mask.ones(model), name: ~Mask.ones(model)[name]}), SHAPE)
    without = {name: ~Mask.ones(model)[name] for name in (IN_PROJECTION, "block.linear1.weight")}
    assert has_path(model, Mask({**Mask.ones(model), **without}), SHAPE)  # the residual stream


@pytest.mark.parametrize("name", strategies.names())
def test_every_strategy_prunes_it(name, batches):
    strategy: Strategy = strategies.get(name)()
    hparams = PruningHparams(**strategy.pruning_defaults())
    hparams = replace(hparams, pruning_iterations=min(hparams.pruning_iterations, 2))
    model = tiny_vit()
    mask = prune(strategy, model, batches, hparams, density=0.4)
    assert mask.kept == pytest.approx(0.4 * mask.total, abs=3)
    assert 0 < mask[IN_PROJECTION].sum() < mask[IN_PROJECTION].numel()
    mask.apply_(model)
    assert torch.equal(model.get_parameter(IN_PROJECTION) != 0, mask[IN_PROJECTION])
    assert model.eval()(batches[0][0]).isfinite().all()


def test_grasp_needs_a_second_derivative(batches):
    """Of PyTorch's own kernels of attention only the plain one has it."""
    model = tiny_vit().eval()
    inputs, labels = batches[0]

    def second() -> None:
        first = gradients(loss(model, inputs, labels), prunable(model), create_graph=True)
        gradients(sum(gradient.square().sum() for gradient in first), prunable(model))

    with plain_attention():
        second()
    with pytest.raises(RuntimeError, match="derivative"):
        second()


def test_a_second_derivative_that_pytorch_lacks_is_named(batches):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Hardsigmoid(), nn.Linear(4, 3))
    with pytest.raises(UsageError, match=r"--pruning_strategy=grasp needs a second derivative .*hardsigmoid_backward"):
        prune("grasp", model, batches, density=0.5)


def test_plain_attention_leaves_the_settings_as_they_were():
    assert torch.backends.mha.get_fastpath_enabled()
    with plain_attention():
        assert not torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.mha.get_fastpath_enabled()


def test_the_report_counts_attention_and_names_what_stays_dense():
    model = tiny_vit()
    mask = Mask({**Mask.ones(model), OUT_PROJECTION: torch.eye(WIDTH, dtype=torch.bool)})
    report = sparsity_report(model, mask, IMAGES)
    layers = {layer["name"]: layer for layer in report["layers"]}
    assert layers[IN_PROJECTION]["multiply_adds"] == 3 * WIDTH * WIDTH * TOKENS
    assert layers[OUT_PROJECTION]["multiply_adds"] == WIDTH * TOKENS
    assert report["left_dense"] == {"position": TOKENS * WIDTH}
