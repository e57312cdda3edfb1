"""Models by name: the registry, the patterns of names with numbers, and the shape of the images.

``cifar_resnet_<depth=6n+2>[_<width>]`` stands for cifar_resnet_20 and more. A pattern is a family, then slots for
numbers. ``_<label>`` takes any number from 1, ``_<label=6n+2>`` takes 8, 14, 20, ..., ``_<label=11|13>`` 11 or 13.
``[_<label>]`` may be left out, ``[_<label>]...`` may come any number of times.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from itertools import product

from torch import nn

from foundations.errors import UsageError, near_misses
from foundations.registry import Registry


@dataclass(frozen=True)
class ImageShape:
    """Size of one image and the number of classes: ``ImageShape(3, 32, 32, 10)`` is CIFAR-10.

    Raises:
        UsageError: a number is below 1.
    """

    channels: int
    height: int
    width: int
    classes: int

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise UsageError(f"image shape {self}: {field.name} must be at least 1")

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width} with {self.classes} classes"


LARGEST = 99_999
"""Far above any real depth or width, and small enough that a mistyped number is not built for hours."""

SLOT = r"_<(\w+)(?:=([^<>]+))?>"
NAME = rf"(\w[\w.-]*?)((?:{SLOT})*)((?:\[{SLOT}\])+(\.\.\.)?)?"


@dataclass(frozen=True)
class Slot:
    """The place of one number in a name: what it is called, the valid numbers, ascending, and these in words."""

    label: str
    values: Sequence[int]
    meaning: str

    @classmethod
    def parse(cls, label: str, rule: str) -> "Slot":
        """Read ``6n+2`` or ``11|13``; without a rule any number from 1 is valid."""
        if not rule:
            return cls(label, range(1, LARGEST + 1), f"a number from 1 to {LARGEST}")
        if linear := re.fullmatch(r"([1-9]\d*)n\+(\d+)", rule):
            step, offset = int(linear[1]), int(linear[2])
            values = range(step + offset, LARGEST + 1, step)
            return cls(label, values, f"{rule} ({', '.join(map(str, values[:5]))}, ...)")
        if re.fullmatch(r"\d+(\|\d+)*", rule):
            choices = sorted(map(int, rule.split("|")))
            return cls(label, choices, f"one of {', '.join(map(str, choices))}")
        raise UsageError(f"<{label}={rule}>: {rule!r} is not a rule for numbers; write for example 6n+2 or 11|13|16")

    def nearest(self, number: int) -> list[int]:
        """Return the nearest valid numbers, one on either side; ``number`` itself where it is valid."""
        low, high = bisect_right(self.values, number), bisect_left(self.values, number)
        return sorted({*self.values[max(low - 1, 0) : low], *self.values[high : high + 1]})


@dataclass(frozen=True)
class Pattern:
    """A family and its slots, of which the first ``required`` must be there; a plain name is a family without any."""

    text: str
    family: str
    slots: tuple[Slot, ...]
    required: int
    repeats: bool

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Read a pattern; raise ``UsageError`` if it is malformed."""
        parts = re.fullmatch(NAME, text)
        if parts is None:
            raise UsageError(
                f"model name {text!r}: expected one such as my_net or my_net_<depth>[_<width>], optional numbers last"
            )
        required, optional = (re.findall(SLOT, parts[group] or "") for group in (2, 5))
        slots = tuple(Slot.parse(label, rule) for label, rule in [*required, *optional])
        return cls(text, parts[1], slots, len(required), bool(parts[8]))

    def numbers(self, name: str) -> tuple[int, ...] | None:
        """Return the numbers after the family, valid or not; None where the name is not of this family."""
        tail = re.fullmatch(rf"{re.escape(self.family)}((?:_(?:0|[1-9][0-9]{{0,17}}))*)", name)
        return None if tail is None else tuple(int(number) for number in tail[1].split("_")[1:])

    def problem(self, numbers: tuple[int, ...]) -> str:
        """Say what is wrong with the numbers; empty where nothing is."""
        if len(numbers) < self.required:
            return f"the {self.slots[len(numbers)].label} is missing; expected {self.text}"
        if len(numbers) > len(self.slots) and not self.repeats:
            return f"more numbers than there are places for; expected {self.text}"
        for number, slot in zip(numbers, self.places(numbers), strict=True):
            if number not in slot.values:
                meant = " or ".join(map(repr, self.suggestions(numbers)))
                return f"{slot.label} must be {slot.meaning}; did you mean {meant}?"
        return ""

    def suggestions(self, numbers: tuple[int, ...]) -> list[str]:
        """Return names of this family with valid numbers near these; none where too few are given."""
        ways = product(*(slot.nearest(number) for slot, number in zip(self.places(numbers), numbers, strict=False)))
        return ["_".join([self.family, *map(str, way)]) for way in ways if not self.problem(way)]

    def places(self, numbers: tuple[int, ...]) -> list[Slot]:
        """Return the slots of the numbers, as far as there are any."""
        more = [self.slots[-1]] * (len(numbers) - len(self.slots)) if self.repeats else []
        return [*self.slots, *more][: len(numbers)]


Builder = Callable[..., nn.Module]
"""``builder(shape: ImageShape, *numbers: int)`` makes the network; the numbers are those in its name. The builder of a
library, ``builder(shape: ImageShape, name: str)``, gets the name there."""

OF_LIBRARY = ":<name>"


class ModelRegistry(Registry[Builder]):
    """Builders by the pattern of their names (models/registry.py says how patterns are written).

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
        """Return all patterns but those of libraries, sorted by their text."""
        return [Pattern.parse(text) for text in self.names() if not text.endswith(OF_LIBRARY)]

    def libraries(self) -> list[str]:
        return [text.removesuffix(OF_LIBRARY) for text in self.names() if text.endswith(OF_LIBRARY)]


models = ModelRegistry("model", flag="model")


def parse(name: str) -> tuple[str, Builder, tuple[int | str, ...]]:
    """Return pattern, builder and its arguments by a model's name: ``cifar_resnet_20_64`` has (20, 64).

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
    """Return the name without its numbers: "cifar_resnet" for cifar_resnet_20_64; of a library's network all of it.

    Raises like ``parse``.
    """
    return name if of_library(name) else _read(name)[0].family


def with_width(name: str, width: int) -> str:
    """Return the name of the network of the same kind whose width is another; of several widths the others go along.

    ``with_width("cifar_resnet_20", 5)`` is cifar_resnet_20_5, ``with_width("mnist_lenet_300_100", 30)``
    mnist_lenet_30_10. Raises ``UsageError`` if the family has no width in its name, or like ``parse``.
    """
    if of_library(name):
        raise UsageError(f"--model={name}: its name has no width")
    pattern, numbers = _read(name)
    labels = [slot.label for slot in pattern.places(numbers)]
    first = labels.index("width") if "width" in labels else len(numbers)
    if first == len(numbers) and (first == len(pattern.slots) or pattern.slots[first].label != "width"):
        raise UsageError(f"--model={name}: its name has no width; {pattern.text} is all there is")
    others = [
        max(1, round(number * width / numbers[first])) if label == "width" else number
        for number, label in zip(numbers[first + 1 :], labels[first + 1 :], strict=True)
    ]
    return "_".join(map(str, (pattern.family, *numbers[:first], width, *others)))


def of_library(name: str) -> tuple[str, str] | None:
    """Return the library of ``timm:resnet18`` and the name there; None for a name of our own, or of no library."""
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
    """Return near misses; ``foundations.errors.near_misses`` would compare with whole patterns."""
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
