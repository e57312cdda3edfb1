import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundations.errors import UsageError
from foundations.steps import Step


@pytest.mark.parametrize(
    ("text", "normal", "iteration", "short"),
    [
        ("30", "30ep0it", 3000, "30ep"),
        ("30ep", "30ep0it", 3000, "30ep"),
        ("2000it", "0ep2000it", 2000, "2000it"),
        ("3ep50it", "3ep50it", 350, "3ep50it"),
        ("0", "0ep0it", 0, "0ep"),
    ],
)
def test_a_step_is_epochs_and_iterations(text: str, normal: str, iteration: int, short: str) -> None:
    assert (Step(text), Step(text).iteration(100), Step(text).short) == (normal, iteration, short)


@pytest.mark.parametrize("text", ["", "10xp", "ep", "-3", "3.5", "it", "3it2ep"])
def test_what_is_no_step_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(UsageError, match="is not a step; write 30 or 30ep"):
        Step(text)


@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_at_is_the_inverse_of_iteration(iteration: int, per_epoch: int) -> None:
    assert Step.at(iteration, per_epoch).iteration(per_epoch) == iteration


def test_certainly_after_holds_for_any_length_of_an_epoch() -> None:
    assert Step("200").certainly_after(Step("160"))
    assert Step("160ep1it").certainly_after(Step("160"))
    assert not Step("160").certainly_after(Step("160"))
    assert not Step("2000it").certainly_after(Step("3ep"))
