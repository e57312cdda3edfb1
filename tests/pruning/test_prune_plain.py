"""`prune` in somebody else's loop: a strategy by its name, plain tensors, and defaults for the rest."""

import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from pruning import Batches, Mask, PruningHparams, prune, strategies


def pairs_of(batches):
    """Images that are not normalized, as plain pairs."""
    return [(pixels, labels) for pixels, (_, labels) in zip(batches.pixels, batches.pairs, strict=True)]


@pytest.mark.parametrize("name", ["adsynflow", "snip", "sparse_global", "random"])
def test_a_name_and_plain_pairs_are_the_strategy_with_its_defaults(name, residual, batches):
    pairs, strategy = pairs_of(batches), strategies.get(name)
    hparams = PruningHparams(**strategy.pruning_defaults())
    whole = Batches(pairs, [images for images, _ in pairs], torch.cat(batches.pixels).mean(0))
    asked = prune(strategy(), residual, whole, hparams, 1 - hparams.pruning_fraction, torch.Generator().manual_seed(0))
    assert prune(name, residual, pairs) == asked
    assert asked.kept == round((1 - hparams.pruning_fraction) * asked.total)


def test_without_a_density_the_fraction_is_of_what_the_mask_keeps(residual, batches):
    start = prune("magnitude", residual, batches, density=0.5)
    mask = prune("magnitude", residual, batches, PruningHparams(pruning_fraction=0.2), mask=start)
    assert mask.kept == round(0.8 * start.density * mask.total)
    assert Mask({name: mask[name] & start[name] for name in mask}) == mask


def test_an_unknown_name_is_refused(residual, batches):
    with pytest.raises(UsageError, match="did you mean 'synflow'"):
        prune("synflw", residual, batches)


def test_batches_of_plain_pairs(batches):
    pairs = pairs_of(batches)
    made = Batches.of(pairs)
    assert made.pixels == [images for images, _ in pairs]
    assert list(made) == pairs
    torch.testing.assert_close(made.mean_image, torch.cat(made.pixels).mean(0))


def test_of_a_smaller_last_batch_each_image_counts_alike():
    images = torch.tensor([0.0, 0.0, 0.9]).view(3, 1, 1, 1)
    labels = torch.zeros(3, dtype=torch.int64)
    made = Batches.of([(images[:2], labels[:2]), (images[2:], labels[2:])])
    assert made.mean_image.item() == pytest.approx(0.3)


def test_normalized_images_need_their_pixels_beside_them_if_a_strategy_looks_at_pixels(residual, batches):
    with pytest.raises(UsageError, match=r"values from -1.997 to 1.998; give their pixels in \[0, 1\] beside them"):
        prune("adsynflow", residual, [(pixels * 4 - 2, labels) for pixels, labels in pairs_of(batches)])
    assert prune("snip", residual, batches.pairs) == prune("snip", residual, batches)
    assert prune("synflow", residual, batches.pairs) == prune("synflow", residual, batches)
    made = Batches.of(batches.pairs, batches.pixels)
    assert list(made) == list(batches.pairs)
    torch.testing.assert_close(made.mean_image, batches.mean_image)


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan")])
def test_pixels_outside_the_unit_interval_are_refused(value):
    with pytest.raises(UsageError, match=r"pixels in \[0, 1\]"):
        _ = Batches.of([(torch.full((1, 1, 2, 2), value), torch.tensor([0]))]).mean_image


@pytest.mark.parametrize("pairs", [[], [(torch.zeros(0, 2, 8, 8), torch.zeros(0, dtype=torch.int64))]])
def test_no_images_are_refused_where_they_are_looked_at(residual, pairs):
    with pytest.raises(UsageError, match="There are no images"):
        prune("adsynflow", residual, pairs)
    if not pairs:
        with pytest.raises(UsageError, match="There are no images"):
            prune("grasp", residual, pairs)


def test_a_strategy_that_looks_at_no_images_asks_for_none(residual):
    assert prune("magnitude", residual).kept == prune("magnitude", residual, []).kept > 0


def test_a_generator_and_labels_of_another_integer_type_are_read_like_a_list_of_pairs(residual, batches):
    pairs = pairs_of(batches)
    generator = ([images, labels.int()] for images, labels in pairs)
    assert prune("snip", residual, generator) == prune("snip", residual, pairs)


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ({"image": torch.rand(2, 2, 8, 8), "label": torch.tensor([0, 1])}, "got dict with the keys image, label"),
        (torch.rand(2, 2, 8, 8), "got Tensor"),
        ((torch.rand(2, 2, 8, 8), [0, 1]), "got tuple"),
        ((torch.zeros(2, 2, 8, 8, dtype=torch.uint8), torch.tensor([0, 1])), "floating-point type; got torch.uint8"),
        ((torch.rand(2, 2, 8, 8), torch.tensor([0])), "2 inputs and 1 labels"),
    ],
)
def test_other_batches_are_refused_by_number(residual, batch, said):
    with pytest.raises(UsageError, match=f"Batch 0: .*{said}"):
        prune("snip", residual, [batch])


class Several(nn.Module):
    """A network that returns its scores among other things."""

    def __init__(self, network: nn.Module, *, always: bool) -> None:
        super().__init__()
        self.network, self.always = network, always

    def forward(self, x):
        scores = self.network(x)
        return {"scores": scores} if self.always else (scores, scores) if self.training else scores


def test_outputs_that_are_no_tensor_are_named(residual, batches):
    with pytest.raises(UsageError, match="Several returns a dict in evaluation mode; expected a tensor of class"):
        prune("synflow", Several(residual, always=True), batches)
    with pytest.raises(UsageError, match="Several returns a tuple in training mode"):
        prune("snip", Several(residual, always=False), batches)
    assert prune(strategies.get("snip")(scoring_mode="eval"), Several(residual, always=False), batches).kept
