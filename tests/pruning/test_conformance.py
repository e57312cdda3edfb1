"""Our own strategies keep the laws that pruning relies on; for each law there is a strategy that breaks it alone."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from pruning import Batches, Mask, Strategy, check_strategy, prune, strategies
from pruning import conformance as laws
from pruning.conformance import LAWS
from pruning.conformance_cases import differences, process
from pruning.methods.random import Random
from tests.pruning.broken_strategies import (
    BROKEN,
    USELESS,
    ForgetsALayer,
    Good,
    Seeds,
    SeedsNumpy,
    SetsTheDefaultType,
)

Scores = dict[str, Tensor]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", strategies.names())
def test_our_own_strategies_keep_every_law(name: str, law: Callable[[Strategy], None]) -> None:
    law(strategies.get(name)())


# Strategies that break one law each ----------------------------------------------------------------------------


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Strategy]], Strategy]:
    """Registers a class as "mine" for one test, past the checks of the registry."""

    def register(cls: type[Strategy]) -> Strategy:
        monkeypatch.setitem(strategies._entries, "mine", cls)
        monkeypatch.setattr(cls, "name", "mine")
        return cls()

    return register


def broken_laws(strategy: Strategy) -> dict[str, str]:
    """The laws that a strategy breaks, and what is said of it."""
    found = {}
    forward, dtype = nn.Linear.forward, torch.get_default_dtype()
    for law in LAWS:
        try:
            law(strategy)
        except Exception as error:
            found[law.__name__] = str(error)
        nn.Linear.forward = forward  # type: ignore[method-assign]
        torch.set_default_dtype(dtype)
    return found


@pytest.mark.parametrize(("cls", "law", "message"), BROKEN, ids=[cls.__name__ for cls, _, _ in BROKEN])
def test_a_strategy_that_breaks_one_law(
    cls: type[Strategy], law: str, message: str, registered: Callable[[type[Strategy]], Strategy]
) -> None:
    broken = broken_laws(registered(cls))
    assert list(broken) == [law]
    assert message in broken[law]


@pytest.mark.parametrize(("cls", "law", "message"), USELESS, ids=[cls.__name__ for cls, _, _ in USELESS])
def test_a_strategy_without_usable_scores_is_told_so_first(
    cls: type[Strategy], law: str, message: str, registered: Callable[[type[Strategy]], Strategy]
) -> None:
    broken = broken_laws(registered(cls))
    assert next(iter(broken)) == law
    assert message in broken[law]


def test_every_law_can_be_broken() -> None:
    assert {law.__name__ for law in LAWS} == {law for _, law, _ in BROKEN} | {"is_registered"}


def test_a_strategy_that_is_not_registered_breaks_that_law_alone() -> None:
    broken = broken_laws(Good())
    assert broken == {
        "is_registered": "expected @strategies.register(\"...\") above it; the name 'unregistered' belongs to no class"
    }


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda prune, model, mask, *rest: Mask.ones(model), "expected 192 weights of the perceptron at density 0.6; "),
        (lambda prune, model, mask, *rest: prune(*rest), "expected no weight of the perceptron to revive; some in 1.w"),
    ],
    ids=["counts", "revival"],
)
def test_prune_itself_is_held_to_exact_counts_and_to_what_is_pruned(
    fault: Callable[..., Mask], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    densities = iter(range(100))

    def faulty(strategy: Strategy, model: nn.Module, batches: Batches, hparams: Any, density: float, *_: Any) -> Mask:
        other = torch.Generator().manual_seed(next(densities))
        return fault(prune, model, None, Random(), model, batches, hparams, density, other)

    monkeypatch.setattr(laws, "prune", faulty)
    with pytest.raises(AssertionError, match=message):
        laws.prunes_to_any_density(Good())


# The check of all ----------------------------------------------------------------------------------------------


def test_a_good_strategy_passes(registered: Callable[[type[Strategy]], Strategy]) -> None:
    check_strategy(registered(Good))


def test_the_error_is_one_line_with_the_law(registered: Callable[[type[Strategy]], Strategy]) -> None:
    with pytest.raises(AssertionError) as caught:
        check_strategy(registered(ForgetsALayer))
    assert str(caught.value) == (
        "ForgetsALayer: Scores are finite tensors of one type, with the names and shapes of the prunable weights: "
        "the perceptron: --pruning_strategy=mine: the score of layer 1.weight is missing"
    )


def test_a_class_is_no_instance() -> None:
    with pytest.raises(UsageError, match=r"expected an instance, as in check_strategy\(MyMethod\(\)\); got <class"):
        check_strategy(Good)  # type: ignore[arg-type]


@pytest.mark.parametrize("cls", [Good, Seeds, SeedsNumpy, SetsTheDefaultType])
def test_the_check_leaves_the_process_as_it_was(
    cls: type[Strategy], registered: Callable[[type[Strategy]], Strategy]
) -> None:
    before, random_numbers = process(), torch.get_rng_state()
    with contextlib.suppress(AssertionError):
        check_strategy(registered(cls))
    assert not differences(before, process())
    assert torch.equal(torch.get_rng_state(), random_numbers)
