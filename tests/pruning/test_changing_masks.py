"""SET, RigL, GMP, GraNet and AC/DC on four numbers."""

import pytest
import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from foundations.steps import Step
from pruning import Mask, PruningHparams, UpdateProgress, strategies
from pruning.methods.dynamic import exchanged


def layer(*weights: float) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(len(weights), 1, bias=False))
    model[0].weight.data = torch.tensor([weights])
    return model


def mask(*kept: int) -> Mask:
    return Mask({"0.weight": torch.tensor([kept], dtype=torch.bool)})


def moment(progress: float, density: float = 0.5, **pruning) -> UpdateProgress:
    return UpdateProgress(progress, density, PruningHparams(**pruning))


def updated(
    name: str, model: nn.Module, before: Mask, gradient: list[float], now: UpdateProgress, seed: int = 0, **fields
):
    gradients = {"0.weight": torch.tensor([gradient])}
    generator = torch.Generator().manual_seed(seed)
    return strategies.get(name)(**fields).update(model, before, gradients, generator, now)


def test_rigl_drops_the_smallest_and_grows_the_largest_gradient() -> None:
    """Half of two weights at progress 0: of 3 and -1 the -1 goes, and of the other three the gradient -5 comes."""
    model, before = layer(3.0, -1.0, 0.0, 0.0), mask(1, 1, 0, 0)
    assert updated("rigl", model, before, [9.0, 1.0, 2.0, -5.0], moment(0.0), drop_fraction=0.5) == mask(1, 0, 0, 1)


def test_what_has_just_been_dropped_may_grow_again() -> None:
    model, before = layer(3.0, -1.0, 0.0, 0.0), mask(1, 1, 0, 0)
    assert updated("rigl", model, before, [9.0, 6.0, 2.0, -5.0], moment(0.0), drop_fraction=0.5) == before


@pytest.mark.parametrize(("progress", "dropped"), [(0.0, 4), (0.5, 2), (0.75, 0), (1.0, 0)])
def test_the_fraction_dropped_falls_along_a_cosine(progress: float, dropped: int) -> None:
    """0.4 / 2 * (1 + cos(pi t)) of ten weights, rounded down: 4, 2, 0.58 and 0."""
    weights = [float(number) for number in range(1, 11)] + [0.0] * 10
    before = mask(*[1] * 10, *[0] * 10)
    after = updated("rigl", layer(*weights), before, [0.0] * 10 + [1.0] * 10, moment(progress), drop_fraction=0.4001)
    assert int((before["0.weight"] & ~after["0.weight"]).sum()) == dropped
    assert after.kept == 10


def test_set_drops_the_smallest_and_grows_at_random() -> None:
    model, before = layer(3.0, -1.0, 0.0, 0.0), mask(1, 1, 0, 0)
    found = [updated("set", model, before, [0.0] * 4, moment(0.0), seed, drop_fraction=0.5) for seed in range(30)]
    assert all(after.kept == 2 and after["0.weight"][0, 0] for after in found)
    grown = [int(after["0.weight"][0, 1:].int().argmax()) + 1 for after in found]
    assert set(grown) == {1, 2, 3}


@pytest.mark.parametrize("dropped", [0.0, 0.5, 1.0])
def test_an_exchange_keeps_the_number_of_weights(dropped: float) -> None:
    """Even where nearly all are kept, and fewer are free than are dropped."""
    generator = torch.Generator().manual_seed(0)
    kept = torch.tensor([True] * 9 + [False])
    size, growth = torch.rand(10, generator=generator), torch.rand(10, generator=generator)
    assert int(exchanged(size, kept, growth, dropped).sum()) == 9


@pytest.mark.parametrize(("progress", "kept"), [(0.1, 3), (0.5, 1), (1.0, 1)])
def test_gmp_prunes_along_a_cube(progress: float, kept: int) -> None:
    """Sparsity 3/4 (1 - (1 - t)^3): 0.20 leaves 3.2 of four weights, 0.66 leaves 1.4, and the end one."""
    after = updated("gmp", layer(3.0, -4.0, 0.5, -1.0), mask(1, 1, 1, 1), [0.0] * 4, moment(progress, density=0.25))
    assert after == {3: mask(1, 1, 0, 1), 1: mask(0, 1, 0, 0)}[kept]


def test_gmp_takes_nothing_back_and_starts_dense() -> None:
    after = updated("gmp", layer(3.0, 4.0, 2.0, 1.0), mask(0, 1, 1, 1), [0.0] * 4, moment(0.3, density=0.5))
    assert after == mask(0, 1, 1, 1)
    assert strategies.get("gmp")().first_density(0.1) == 1
    assert strategies.get("rigl")().first_density(0.1) == 0.1


def test_gmp_prunes_by_layer_if_the_scope_is_that() -> None:
    model = nn.Sequential(nn.Linear(4, 1, bias=False), nn.Linear(1, 4, bias=False))
    model[0].weight.data, model[1].weight.data = torch.tensor([[1.0, 2, 3, 4]]), torch.tensor([[5.0], [6], [7], [8]])
    both: dict[str, Tensor] = dict(Mask.ones(model))
    gmp, generator = strategies.get("gmp")(), torch.Generator()
    after = {
        scope: gmp.update(model, Mask(both), both, generator, moment(1, pruning_scope=scope))
        for scope in ("global", "layer")
    }
    assert [int(kept.sum()) for kept in after["global"].values()] == [0, 4]
    assert [int(kept.sum()) for kept in after["layer"].values()] == [2, 2]


def test_granet_prunes_first_and_exchanges_then() -> None:
    """On the way from 1 to 1/4 the density at 0.5 is 0.34: one of four weights stays, too few to exchange 0.48 of it.

    At 0.1 three stay (4, 3, -1), of which 0.95 / 2 * (1 + cos(pi / 10)) = 0.93, two, are exchanged: 4 stays, and the
    largest gradients of the rest are those of the first two.
    """
    model, before, gradient = layer(0.5, -1.0, 3.0, 4.0), mask(1, 1, 1, 1), [9.0, 8.0, 1.0, 0.0]
    half, early = moment(0.5, density=0.25), moment(0.1, density=0.25)
    given = {"initial_density": 1.0, "drop_fraction": 0.95}
    assert updated("granet", model, before, gradient, half, **given) == mask(0, 0, 0, 1)
    assert updated("granet", model, before, gradient, early, **given) == mask(1, 1, 0, 1)


def test_granet_starts_at_a_density_of_its_own_and_never_below_that_of_the_level() -> None:
    granet = strategies.get("granet")
    assert granet().first_density(0.1) == 0.5
    assert granet(initial_density=0.2).first_density(0.3) == 0.3


def test_acdc_alternates_between_all_weights_and_the_largest() -> None:
    """A weight that a dense phase has made large is taken in place of one that was there before."""
    model, dense = layer(3.0, -4.0, 0.5, -1.0), mask(1, 1, 1, 1)
    compressed = updated("acdc", model, dense, [0.0] * 4, moment(0.2))
    assert compressed == mask(1, 1, 0, 0)
    assert updated("acdc", model, compressed, [0.0] * 4, moment(0.4)) == dense
    model[0].weight.data[0, 2] = 9.0
    assert updated("acdc", model, dense, [0.0] * 4, moment(1.0)) == mask(0, 1, 1, 0)


@pytest.mark.parametrize(("until", "expected"), [(0.75, [10, 20, 30, 40, 45]), (0.6, [10, 20, 36])])
def test_acdc_ends_with_a_compressed_phase(until: float, expected: list[int]) -> None:
    """Of 36 every 10 there would be a fourth phase, which is dense: the dense one before goes on in its place."""
    acdc = strategies.get("acdc")(update_every=Step("10it"), update_until=until)
    assert acdc.updates(start=0, end=60, iterations_per_epoch=6) == expected


def test_acdc_has_the_phases_of_its_paper_on_imagenet() -> None:
    """Ten epochs dense, five each in turn, dense from 75 to 85 and compressed to the end at 100."""
    found = strategies.get("acdc")(update_start=Step("5ep")).updates(start=0, end=100, iterations_per_epoch=1)
    assert found == [10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 85]


def test_updates_come_at_intervals_and_at_the_end_of_their_time() -> None:
    rigl = strategies.get("rigl")
    every = rigl(update_every=Step("10it"), update_until=0.75)
    assert every.updates(start=0, end=60, iterations_per_epoch=6) == [10, 20, 30, 40, 45]
    assert every.updates(start=24, end=60, iterations_per_epoch=6) == [34, 44, 45]
    assert rigl(update_every=Step("1ep"), update_start=Step("4ep")).updates(0, 60, 6) == [30, 36, 42, 45]


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"update_every": Step("0it")}, "--update_every=0ep: expected at least one step"),
     ({"update_until": 0.1}, "--update_until=0.1: ends before the first update")],
)  # fmt: skip
def test_a_time_without_updates_is_refused(fields, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        strategies.get("set")(**fields).updates(start=10, end=60, iterations_per_epoch=6)
