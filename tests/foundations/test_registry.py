from typing import Any

import pytest

from foundations.errors import UsageError
from foundations.registry import Registry


def fruits() -> Registry[int]:
    registry: Registry[int] = Registry("fruit", flag="fruit")
    registry.register("apple")(1)
    registry.register("banana")(2)
    return registry


def test_an_entry_is_found_by_its_name() -> None:
    assert fruits().get("banana") == 2
    assert fruits().names() == ["apple", "banana"]
    assert "apple" in fruits()


def test_an_unknown_name_suggests_a_near_one_and_lists_all() -> None:
    with pytest.raises(
        UsageError, match=r"--fruit=aple: unknown fruit \(did you mean 'apple'\?\); valid: apple, banana"
    ):
        fruits().get("aple")


def test_a_name_can_be_taken_once() -> None:
    with pytest.raises(UsageError, match="already registered"):
        fruits().register("apple")(3)


def test_what_is_typed_again_takes_the_place_of_its_earlier_version() -> None:
    registry: Registry[type] = Registry("method")
    first, second = (type("Method", (), {"__module__": "__main__"}) for _ in range(2))
    registry.register("method")(first)
    registry.register("method")(second)
    assert registry.get("method") is second
    other = type("Other", (), {"__module__": "__main__"})
    with pytest.raises(UsageError, match="already registered"):
        registry.register("method")(other)


def test_what_is_registered_temporarily_is_forgotten() -> None:
    registry: Registry[int] = Registry("number")
    registry.register("one")(1)
    names = registry.keys()  # a view, such as fields have as their choices
    with registry.temporarily():
        registry.register("two")(2)
        assert [*names] == ["one", "two"]
    assert [*names] == registry.names() == ["one"]


@pytest.mark.parametrize("name", ["", "red \x1b[31m", "two\nlines", None, ["list"]])
def test_names_that_cannot_be_shown_or_are_none_are_refused(name: Any) -> None:
    registry: Registry[int] = Registry("number")
    with pytest.raises(UsageError, match="The name of a number is a text"):
        registry.register(name)(1)
    with pytest.raises(UsageError, match="Unknown number"):
        registry.get(name)
