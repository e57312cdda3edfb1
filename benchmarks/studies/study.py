"""What a study is: experiments of ordinary commands, in the order in which they tell most."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from experiments.checks import Run
from foundations.hparams import as_text


@dataclass(frozen=True, kw_only=True)
class Part(Run):
    """One method under one command; lists among its flags make several experiments of it."""

    title: str
    """The method, as tables name it."""
    published: str = ""
    """The number that stands beside ours, with its source."""

    @property
    def arguments(self) -> list[str]:
        """The same as arguments of the command line."""
        flags = [f"--{name}={as_text(value)}" for name, value in self.flags.items()]
        return [self.command, *([self.branch] if self.branch else []), *flags]

    @property
    def command_line(self) -> str:
        """The same as a line for the shell."""
        return shlex.join(["python", "main.py", *self.arguments])

    def without(self, common: Mapping[str, Any]) -> str:
        """The command's name and the flags that ``common`` does not give."""
        own = {name: value for name, value in self.flags.items() if common.get(name) != value}
        return shlex.join(replace(self, flags=own).arguments)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Parts in rank order, all with the same training."""

    name: str
    summary: str
    about: str
    """Network, data and training in a sentence or two, and in what they differ from what was published."""
    training: Mapping[str, Any]
    """The flags that all parts have in common."""
    parts: tuple[Part, ...]
    remarks: str = ""
    """What the numbers do and do not say."""
    reference: str = ""
    """The title of the method that the others are compared with, replicate by replicate."""
    drawn: tuple[str, ...] = ()
    """The titles of the methods in the figure of accuracies, the full network's included; all by default."""
    curves: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Titles of the networks in each figure of barriers against k, by the figure's name."""
    followed: tuple[str, ...] = ()
    """Titles of the methods whose accuracy is kept and drawn over training."""
