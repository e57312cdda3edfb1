"""One mechanism turns a command line with lists into the command lines of its single runs."""

import itertools
from collections.abc import Collection, Sequence

from cli.flags import expand_range
from foundations.errors import UsageError

LISTS = ("pruning_strategy", "density", "k", "replicate")  # the last varies fastest


def without_flags(argv: Sequence[str], names: Collection[str]) -> list[str]:
    """The command line without some flags and their values (``--flag=value`` or ``--flag value``)."""
    rest: list[str] = []
    dropping = False
    for token in argv:
        name, equals, _ = token.removeprefix("--").partition("=")
        if token.startswith("--"):
            dropping = name in names
            if not dropping:
                rest.append(token)
            dropping = dropping and not equals
        elif not dropping:
            rest.append(token)
        else:
            dropping = False
    return rest


def expand(argv: Sequence[str], lists: Sequence[str] = LISTS) -> list[list[str]]:
    """``[--k=0,1]`` as ``[[--k=0], [--k=1]]``; several lists give every combination.

    What a strategy brings as a default stays its own in each run, since each run is parsed by itself. As everywhere,
    a flag that is given twice has the last value; a value that is listed twice counts once.
    """
    rest: list[str] = []
    choices: dict[str, list[str]] = {}
    tokens = iter(argv)
    for token in tokens:
        flag, equals, text = token.partition("=")
        if flag.removeprefix("--") not in lists or not flag.startswith("--"):
            rest.append(token)
            continue
        if not equals:
            text = next(tokens, "")
        if not text or text.startswith("--"):
            raise UsageError(f"{flag}: a value is missing")
        try:
            choices[flag] = [f"{flag}={part}" for part in dict.fromkeys(expand_range(text))]
        except UsageError as error:
            raise UsageError(f"{flag}={text}: {error}") from error
        if not choices[flag]:
            raise UsageError(f"{flag}={text}: a value is missing")
    ordered = [choices[f"--{name}"] for name in lists if f"--{name}" in choices]
    return [[*rest, *combination] for combination in itertools.product(*ordered)]
