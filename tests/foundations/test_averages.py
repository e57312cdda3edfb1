import pytest

from foundations.averages import average, standard_deviation


def test_mean_and_standard_deviation_of_a_sample() -> None:
    assert average([0.1, 0.2, 0.3]) == pytest.approx(0.2)
    assert standard_deviation([0.1, 0.2, 0.3]) == pytest.approx(0.1)  # (0.01 + 0 + 0.01) / 2 = 0.1 ** 2


def test_there_is_none_where_values_are_missing_or_too_few() -> None:
    assert average([0.1, None]) is None
    assert average([]) is None
    assert standard_deviation([0.1, 0.2, None]) is None
    assert standard_deviation([0.1]) is None
