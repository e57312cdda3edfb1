"""``completion``: a script by which a shell completes commands, flags and their values, without starting Python."""

from argparse import SUPPRESS, ArgumentParser
from collections.abc import Iterable
from typing import Any, get_type_hints

from cli import COMMANDS, NAME
from cli.reading import ANY, CommandOptions, Given, command
from experiments.define.defaults import Section, Selection
from experiments.define.experiment import experiments
from experiments.options import SessionOptions
from experiments.run.engines import engines
from foundations.errors import UsageError, needed
from foundations.hparams import Hparams, field_docs
from lottery.branch import branches
from models.registry import models
from pruning import strategies
from stability.criteria import criteria
from training.data import datasets
from training.recipes import recipes

SHELLS = ("bash", "zsh", "tcsh")
DIRECTORIES, FILES = {"root", "data_dir"}, {"plugin", "config", "checkpoint"}


@command(Hparams, "SHELL", ANY)
def run(given: Given[Hparams]) -> int:
    """Print a script by which a shell (bash, zsh or tcsh) completes commands, flags and values of adsynflow, as it is
    called once installed. For bash: adsynflow completion bash > ~/.local/share/bash-completion/completions/adsynflow
    """
    if len(given.operands) != 1 or given.operands[0] not in SHELLS:
        raise UsageError(f"completion: expected a shell, one of {', '.join(SHELLS)}")
    shtab = needed("shtab", "completion", "shtab")
    print(shtab.complete(whole_parser(shtab), given.operands[0]))
    return 0


def whole_parser(shtab: Any) -> ArgumentParser:
    """Return a parser of all commands with every flag that they have for any model and strategy."""
    whole = ArgumentParser(NAME)
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers(metavar="COMMAND")
    for name, summary in COMMANDS.items():
        one = commands.add_parser(name, help=summary, description=summary)
        if name == "completion":
            one.add_argument("shell", choices=SHELLS)
        if name == "lottery_branch":
            one.add_argument("branch", choices=branches.names())
        if name in experiments:
            add_flags(one, sections_of(name), shtab)
    return whole


def sections_of(name: str) -> Iterable[Section]:
    """Yield the flags that a command has for any strategy, branch and criterion for k."""
    kind = experiments.get(name)
    for strategy in map(strategies.get, strategies) if kind.prunes else [None]:
        yield from kind.sections(Selection(strategy, None, {}), {})
    yield from (Section("", branches.get(branch)) for branch in branches if name == "lottery_branch")
    yield from (Section("", criteria.get(k)) for k in criteria if name in ("lottery", "stability"))
    yield from (Section("", SessionOptions), Section("", CommandOptions))


def add_flags(parser: ArgumentParser, sections: Iterable[Section], shtab: Any) -> None:
    """Add each flag once, with what its value may be."""
    named = {
        "model": [name for name in models if "<" not in name], "dataset": datasets.names(),
        "pruning_strategy": strategies.names(), "engine": engines.names(),
        "recipe": sorted({recipes.get(name).name for name in recipes}),
    }  # fmt: skip
    added = set()
    for section in sections:
        docs, hints = field_docs(section.cls), get_type_hints(section.cls)
        for item in section.items():
            if item.name in added:
                continue
            added.add(item.name)
            is_switch = hints[item.name] is bool
            choices = named.get(item.name) or item.metadata.get("choices") or (["true", "false"] if is_switch else None)
            flag: Any = parser.add_argument(
                f"--{item.name}", choices=choices, default=SUPPRESS, help=docs.get(item.name, "").replace("%", "%%"),
                nargs="?" if is_switch else None,
            )  # fmt: skip
            if item.name in DIRECTORIES | FILES:
                flag.complete = shtab.DIRECTORY if item.name in DIRECTORIES else shtab.FILE
