"""The models by name, and the reading of a name."""

import re
from collections.abc import Callable
from difflib import SequenceMatcher

from torch import nn

from foundations.errors import UsageError, near_misses
from foundations.registry import Registry
from models.patterns import Pattern

Builder = Callable[..., nn.Module]
"""``builder(shape: ImageShape, *numbers: int)`` makes the network; the numbers are those in its name. The builder of a
library, ``builder(shape: ImageShape, name: str)``, gets the name there."""

OF_LIBRARY = ":<name>"


class ModelRegistry(Registry[Builder]):
    """Builders by the pattern of their names (models/patterns.py says how patterns are written).

    ``timm:<name>`` stands for all names that begin with ``timm:``, the networks of a library.
    """

    def register(self, name: str) -> Callable[[Builder], Builder]:
        """Decorator; raises ``UsageError`` if the pattern is malformed or a name would mean two things."""
        if name.endswith(OF_LIBRARY) and name.removesuffix(OF_LIBRARY).isidentifier():
            return super().register(name)
        pattern = Pattern.parse(name)
        for other in self.patterns():
            if other.numbers(pattern.family) is not None or pattern.numbers(other.family) is not None:
                raise UsageError(f"The model {name!r} clashes with {other.text!r}, already registered.")
        return super().register(name)

    def patterns(self) -> list[Pattern]:
        """All patterns but those of libraries, sorted by their text."""
        return [Pattern.parse(text) for text in self.names() if not text.endswith(OF_LIBRARY)]

    def libraries(self) -> list[str]:
        """The names of the libraries."""
        return [text.removesuffix(OF_LIBRARY) for text in self.names() if text.endswith(OF_LIBRARY)]


models = ModelRegistry("model", flag="model")


def parse(name: str) -> tuple[str, Builder, tuple[int | str, ...]]:
    """Pattern, builder and its arguments by a model's name: ``cifar_resnet_20_64`` has (20, 64).

    Of a library's network the argument is its name, of which nothing is checked: that would mean importing the library.

    Raises:
        UsageError: no model has this name; names what was probably meant.
    """
    if within := of_library(name):
        text = within[0] + OF_LIBRARY
        return text, models.get(text), (within[1],)
    pattern, numbers = _read(name)
    return pattern.text, models.get(pattern.text), numbers


def family(name: str) -> str:
    """The name without its numbers: "cifar_resnet" for cifar_resnet_20_64; of a library's network the whole name.

    Raises like ``parse``.
    """
    return name if of_library(name) else _read(name)[0].family


def of_library(name: str) -> tuple[str, str] | None:
    """The library of ``timm:resnet18`` and the name there; None for a name of our own, or of no library."""
    library, _, rest = name.partition(":")
    if library not in models.libraries() or not re.fullmatch(r"\w[\w.-]*", rest):
        return None
    return library, rest


def _read(name: str) -> tuple[Pattern, tuple[int, ...]]:
    for pattern in models.patterns():
        numbers = pattern.numbers(name)
        if numbers is None:
            continue
        if problem := pattern.problem(numbers):
            raise UsageError(f"--model={name}: {problem}")
        return pattern, numbers
    raise UsageError(f"--model={name}: unknown model{_meant(name)}; valid: {', '.join(models.names())}")


def _meant(name: str) -> str:
    """Near misses; ``foundations.errors.near_misses`` would compare with whole patterns."""
    library, colon, rest = name.partition(":")
    if library in models.libraries():
        return f"; expected {library}:NAME"
    if colon:
        return near_misses(library, models.libraries()).replace("'?)", f":{rest}'?)")
    words = "_".join(re.findall(r"[a-z]+", name.lower()))
    numbers = tuple(int(number) for number in re.findall(r"[0-9]{1,18}", name))

    def likeness(pattern: Pattern) -> float:
        last_word = pattern.family.rpartition("_")[2]  # "resnet20" leaves out the "cifar_"
        return max(SequenceMatcher(None, words, text).ratio() for text in (pattern.family, last_word))

    closest = max(models.patterns(), key=likeness)
    if likeness(closest) < 0.6 or not (candidates := closest.suggestions(numbers)):
        return ""
    return f" (did you mean {' or '.join(repr(candidate) for candidate in candidates)}?)"
