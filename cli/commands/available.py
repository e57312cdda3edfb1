"""``available``: what there is a choice of, a line each, plug-ins included."""

from collections.abc import Mapping, Sequence
from typing import Any

from cli.command_line import OF_COMMAND, plugins_in
from cli.flags import Parser
from experiments.plugins import load_plugins
from experiments.run.engines import engines
from experiments.run.progress import make_reporter
from foundations.errors import UsageError, near_misses
from foundations.registry import Registry
from foundations.text import printable_text, summary_of_docstring
from lottery.branch import branches
from models.registry import models
from pruning import strategies
from stability.criteria import criteria
from training.data import datasets
from training.optimizers import optimizers
from training.recipes import recipes
from training.schedules import schedules

SUMMARY = "Lists what can be chosen by name, a line each; with --plugin also what a plug-in adds."
SHOWN: Mapping[str, tuple[str, Registry[Any]]] = {
    "strategies": ("--pruning_strategy", strategies),
    "models": ("--model", models),
    "datasets": ("--dataset", datasets),
    "recipes": ("--recipe, as model/data set/name", recipes),
    "branches": ("lottery_branch <branch>", branches),
    "optimizers": ("--optimizer", optimizers),
    "schedules": ("--lr_schedule", schedules),
    "criteria": ("criteria for --k", criteria),
    "engines": ("--engine", engines),
}


def run(argv: Sequence[str]) -> int:
    """Prints all, or those of the kinds that are named."""
    parser = Parser("available", SUMMARY, "[KIND ...] [--plugin=FILE]")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(SHOWN))
    parser.add_argument("--plugin", action="append", help="a file or module; may be repeated")
    options = parser.parse_or_help(argv)
    if options is None:
        return 0
    for kind in options.kinds:
        if kind not in SHOWN:
            raise UsageError(f"{kind}: nothing of that kind{near_misses(kind, SHOWN)}; valid: {', '.join(SHOWN)}")
    load_plugins(plugins_in(argv), make_reporter(quiet=False), OF_COMMAND)
    blocks = [block(*SHOWN[kind]) for kind in options.kinds or SHOWN]
    print(printable_text("\n\n".join(blocks)))
    return 0


def block(title: str, registry: Registry[Any]) -> str:
    """The names in a registry, each with the first paragraph of its docstring."""
    width = max(map(len, registry.names()), default=0)
    lines = [f"  {name:<{width}}  {summary(registry.get(name))}".rstrip() for name in registry]
    return "\n".join([f"{title}:", *lines])


def summary(thing: Any) -> str:
    """The first paragraph of a docstring, of a recipe that of the function that has its values."""
    return summary_of_docstring(getattr(getattr(thing, "values", thing), "__doc__", None))
