"""`prune` in somebody else's loop: a strategy by its name, plain tensors, and defaults for the rest."""

import pytest
import torch

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


def test_normalized_images_need_their_pixels_beside_them(batches):
    with pytest.raises(UsageError, match=r"values from -2 to 2; give their pixels in \[0, 1\] beside them"):
        Batches.of([(torch.tensor([-2.0, 2.0]).view(2, 1, 1, 1), torch.tensor([0, 1]))])
    made = Batches.of(batches.pairs, batches.pixels)
    assert list(made) == list(batches.pairs)
    torch.testing.assert_close(made.mean_image, batches.mean_image)


@pytest.mark.parametrize("pairs", [[], [(torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.int64))]])
def test_no_images_are_refused(pairs):
    with pytest.raises(UsageError, match="there are no images"):
        Batches.of(pairs)


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan")])
def test_pixels_outside_the_unit_interval_are_refused(value):
    with pytest.raises(UsageError, match=r"pixels in \[0, 1\]"):
        Batches.of([(torch.full((1, 1, 2, 2), value), torch.tensor([0]))])
