"""Flags that only a command line has; and commands whose flags are one dataclass, which are read without PyTorch."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Generic, TypeVar, get_type_hints

from cli.flags import TRUTHS, make_parser, parse_value
from experiments.run.progress import make_reporter
from experiments.runs.directory import directories_from_environment
from foundations.errors import UsageError, near_misses
from foundations.hparams import Hparams, Section, hp, repeatable
from foundations.reporting import Reporter

H = TypeVar("H", bound=Hparams)
ANY = "any"


@dataclass(frozen=True, kw_only=True)
class CommandOptions(Hparams):
    """What to do with the experiments."""

    config: str | None = hp(None)
    """A TOML file of flags, also by command in tables, or the desc.json of a run; the command line wins."""
    display_output_location: bool = hp(False)
    """Print the run's directory and do nothing else."""
    dry_run: bool = hp(False)
    """Print the plan (what is done, what is shared, how many steps are left) and do nothing else."""
    estimate: bool = hp(False)
    """With --dry_run: time ten steps of each training, for those that no run here tells about; in bf16, too."""


OF_COMMAND = {item.name for item in fields(CommandOptions)}


@dataclass(frozen=True, kw_only=True)
class RootOptions(Hparams):
    """Where the runs are."""

    root: str = hp("runs")
    """Directory of all runs; also $ADSYNFLOW_ROOT."""


@dataclass(frozen=True, kw_only=True)
class PluginOptions(Hparams):
    """Plug-ins to load."""

    plugin: tuple[str, ...] = repeatable()
    """A file or module that registers what the runs are made of; may be repeated."""


@dataclass(frozen=True)
class Given(Generic[H]):
    """The arguments of a command.

    Args:
        argv: everything behind its name.
        operands: what of that is no flag.
        options: the flags.
    """

    argv: Sequence[str]
    operands: list[str]
    options: H

    @cached_property
    def reporter(self) -> Reporter:
        return make_reporter(quiet=False)


def command(
    cls: type[H], operands: str = "", number: int | str = 0
) -> Callable[[Callable[[Given[H]], int]], Callable[[Sequence[str]], int]]:
    """Make a function the command of its module's name; its docstring is the summary in the help.

    Args:
        cls: the command's flags.
        operands: what may stand beside flags, for the line of usage: ``[RUN_DIR ...]``.
        number: of operands, or ``ANY``.
    """

    def decorate(work: Callable[[Given[H]], int]) -> Callable[[Sequence[str]], int]:
        name, summary = work.__module__.rpartition(".")[2], inspect.cleandoc(work.__doc__ or "")

        def run(argv: Sequence[str]) -> int:
            given = read(name, summary, cls, argv, operands, number)
            return 0 if given is None else work(given)

        return run

    return decorate


def read(
    name: str, summary: str, cls: type[H], argv: Sequence[str], operands: str, number: int | str
) -> Given[H] | None:
    """Read operands and flags, and load the plug-ins that they name; None if help was asked for, which is printed.

    Raises:
        UsageError: an unknown flag, a value that does not fit its type, or another number of operands.
    """
    known, hints = [item.name for item in fields(cls)], get_type_hints(cls)
    defaults = {flag: value for flag, value in directories_from_environment().items() if flag in known}
    parser = make_parser(name, summary, [Section("flags", cls, defaults)])
    parser.usage = f"{parser.prog} {operands} --flag=value ...".replace("  ", " ")
    switches = {f"--{flag}" for flag in known if hints[flag] is bool}  # an operand behind one is not its value
    tokens = [
        f"{token}=true" if token in switches and following.lower() not in TRUTHS else token
        for token, following in zip(argv, [*argv[1:], ""], strict=False)
    ]
    namespace, found = parser.parse_known_args(tokens)
    texts = dict(vars(namespace))
    if texts.pop("help", False):
        print(parser.format_help())
        return None
    for token in found:
        if token.startswith("-") and token != "-":
            hint = near_misses(token.removeprefix("--").partition("=")[0], known, "--")
            raise UsageError(f"{token}: no flag of {name}{hint}; valid: --{', --'.join(known)}")
    if number == 0 and found:
        raise UsageError(f"{found[0]}: not a flag; flags are written --flag=value")
    if number not in (ANY, len(found)):
        raise UsageError(f"{name} takes {operands}, not {len(found)} of them")
    values = {
        flag: tuple(text) if isinstance(text, list) else parse_value(flag, text, hints[flag])
        for flag, text in texts.items()
    }
    given = Given(argv, found, cls(**{**defaults, **values}))
    if "plugin" in known:
        from experiments.plugins import load_plugins  # which needs PyTorch

        load_plugins(getattr(given.options, "plugin", ()), given.reporter, OF_COMMAND)
    return given
