"""One mechanism turns a command line with lists into the command lines of its single runs."""

import itertools
from collections.abc import Sequence

from cli.flags import expand_range
from foundations.errors import UsageError

LISTS = ("pruning_strategy", "density", "k", "replicate")  # the last varies fastest


def expand(argv: Sequence[str], lists: Sequence[str] = LISTS) -> list[list[str]]:
    """``[--k=0,1]`` as ``[[--k=0], [--k=1]]``; several lists give every combination.

    What a strategy brings as a default stays its own in each run, since each run is parsed by itself.
    """
    rest, choices = [], []
    flags = [f"--{name}" for name in lists]
    tokens = iter(argv)
    for token in tokens:
        flag, equals, text = token.partition("=")
        if flag not in flags:
            rest.append(token)
            continue
        if not equals:
            text = next(tokens, "")
        try:
            parts = expand_range(text)
        except UsageError as error:
            raise UsageError(f"{flag}={text}: {error}") from error
        if not parts:
            raise UsageError(f"{flag}={text}: a value is missing")
        choices.append([f"{flag}={part}" for part in parts])
    choices.sort(key=lambda options: flags.index(options[0].partition("=")[0]))
    return [[*rest, *combination] for combination in itertools.product(*choices)]
