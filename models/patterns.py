"""Model names with numbers: ``cifar_resnet_<depth=6n+2>[_<width>]`` stands for cifar_resnet_20 and more.

A pattern is a family, then slots for numbers. ``_<label>`` takes any number from 1, ``_<label=6n+2>`` takes
8, 14, 20, ..., ``_<label=11|13>`` 11 or 13. ``[_<label>]`` may be left out, ``[_<label>]...`` may come any
number of times.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from foundations.errors import UsageError

LARGEST = 99_999
"""Far above any real depth or width, and small enough that a mistyped number is not built for hours."""

FAMILY = r"\w[\w.-]*?"
SLOT = r"(?:_<\w+(?:=[^<>]+)?>|\[_<\w+(?:=[^<>]+)?>\](?:\.\.\.)?)"


@dataclass(frozen=True)
class Slot:
    """The place of one number in a name."""

    label: str
    values: Sequence[int]
    """The valid numbers, ascending."""
    meaning: str
    optional: bool
    repeated: bool

    @classmethod
    def parse(cls, text: str) -> "Slot":
        label, _, rule = text.strip("[]._<>").partition("=")
        flags = {"optional": text.startswith("["), "repeated": text.endswith("...")}
        if not rule:
            return cls(label, range(1, LARGEST + 1), f"a number from 1 to {LARGEST}", **flags)
        if linear := re.fullmatch(r"([1-9]\d*)n\+(\d+)", rule):
            step, offset = int(linear[1]), int(linear[2])
            values = range(step + offset, LARGEST + 1, step)
            return cls(label, values, f"{rule} ({', '.join(map(str, values[:5]))}, ...)", **flags)
        if re.fullmatch(r"\d+(\|\d+)*", rule):
            choices = sorted(int(choice) for choice in rule.split("|"))
            return cls(label, choices, f"one of {', '.join(map(str, choices))}", **flags)
        raise UsageError(f"{text}: {rule!r} is no rule for numbers; write for example 6n+2 or 11|13|16")

    def neighbours(self, number: int) -> list[int]:
        """The nearest valid numbers, one on either side; ``number`` itself where it is valid."""
        low, high = bisect_right(self.values, number), bisect_left(self.values, number)
        return sorted({*self.values[max(low - 1, 0) : low], *self.values[high : high + 1]})


@dataclass(frozen=True)
class Pattern:
    """A family and its slots; a plain name is a family without slots."""

    text: str
    family: str
    slots: tuple[Slot, ...]

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Raises ``UsageError`` where the text is no pattern, or its numbers could not be distinguished."""
        parts = re.fullmatch(rf"({FAMILY})({SLOT}*)", text)
        if parts is None:
            raise UsageError(f"model name {text!r}: expected one such as my_net or my_net_<depth>[_<width>]")
        slots = tuple(Slot.parse(slot) for slot in re.findall(SLOT, parts[2]))
        for slot, following in pairwise(slots):
            if slot.repeated or (slot.optional and not following.optional):
                raise UsageError(f"model name {text!r}: <{following.label}> comes after an optional number")
        return cls(text, parts[1], slots)

    def numbers(self, name: str) -> tuple[int, ...] | None:
        """The numbers after the family, valid or not; None where the name is not of this family."""
        tail = re.fullmatch(rf"{re.escape(self.family)}((?:_(?:0|[1-9][0-9]{{0,17}}))*)", name)
        return None if tail is None else tuple(int(number) for number in tail[1].split("_")[1:])

    def problem(self, numbers: tuple[int, ...]) -> str:
        """What is wrong with the numbers, in words; empty where nothing is."""
        if (missing := self._slot(len(numbers))) is not None and not missing.optional:
            return f"the {missing.label} is missing; expected {self.text}"
        for index, number in enumerate(numbers):
            slot = self._slot(index)
            if slot is None:
                return f"more numbers than there are places for; expected {self.text}"
            if number not in slot.values:
                meant = " or ".join(repr(name) for name in self.suggestions(numbers))
                return f"{slot.label} must be {slot.meaning}; did you mean {meant}?"
        return ""

    def suggestions(self, numbers: tuple[int, ...]) -> list[str]:
        """Names of this family with valid numbers near these; none where too few are given."""
        ways: list[tuple[int, ...]] = [()]
        for index, number in enumerate(numbers):
            if (slot := self._slot(index)) is not None:
                ways = [(*way, near) for way in ways for near in slot.neighbours(number)]
        names = ["_".join([self.family, *map(str, way)]) for way in ways]
        return [name for way, name in zip(ways, names, strict=True) if not self.problem(way)]

    def _slot(self, index: int) -> Slot | None:
        if index < len(self.slots):
            return self.slots[index]
        return self.slots[-1] if self.slots and self.slots[-1].repeated else None
