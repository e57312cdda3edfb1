from dataclasses import dataclass

import pytest

from foundations.errors import UsageError
from foundations.methods import Method, MethodRegistry


@dataclass(frozen=True, kw_only=True)
class Paint(Method):
    """Puts colour on things, whose shape
    stays as it is.

    More of it.
    """

    coats: int = 1


def test_registration_gives_a_method_its_name() -> None:
    registry: MethodRegistry[Method] = MethodRegistry("method")
    assert registry.register("paint")(Paint).name == "paint"
    assert registry.get("paint").summary() == "Puts colour on things, whose shape stays as it is."


def test_a_field_that_is_a_flag_of_the_framework_is_refused_by_name() -> None:
    registry: MethodRegistry[Method] = MethodRegistry("method")
    registry.reserve({"coats"})
    with pytest.raises(UsageError, match="Method 'paint': its field 'coats' is a flag of the framework; rename it"):
        registry.register("paint")(Paint)
    assert "paint" not in registry


def test_a_name_reserved_later_is_refused_too() -> None:
    registry: MethodRegistry[Method] = MethodRegistry("method")
    registry.register("paint")(Paint)
    with pytest.raises(UsageError, match="'coats'"):
        registry.reserve({"coats"})


def test_a_forgotten_decorator_is_said() -> None:
    class Forgotten(Method):
        strength: float = 1.0

    registry: MethodRegistry[Method] = MethodRegistry("method")
    with pytest.raises(UsageError, match="'strength' is not a field; decorate the class"):
        registry.register("forgotten")(Forgotten)
