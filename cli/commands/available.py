"""``available``: what can be chosen by name."""

from collections.abc import Mapping
from typing import Any

from cli.reading import ANY, Given, PluginOptions, command
from cli.terminal import listed
from experiments.measurements import measurements
from experiments.run.engines import engines
from foundations.errors import UsageError, near_misses
from foundations.registry import Registry
from foundations.text import summary_of_docstring
from lottery.branch import branches
from models.registry import models
from pruning import strategies
from stability.criteria import criteria
from training.data import datasets
from training.optimizers import optimizers
from training.recipes import recipes
from training.schedules import schedules

SHOWN: Mapping[str, tuple[str, Registry[Any]]] = {
    "strategies": ("--pruning_strategy", strategies),
    "models": ("--model", models),
    "datasets": ("--dataset", datasets),
    "recipes": ("--recipe, as model/data set/name", recipes),
    "branches": ("lottery_branch <branch>", branches),
    "optimizers": ("--optimizer", optimizers),
    "schedules": ("--lr_schedule", schedules),
    "criteria": ("criteria for --k", criteria),
    "measurements": ("--measure", measurements),
    "engines": ("--engine", engines),
}


@command(PluginOptions, "[KIND ...]", ANY)
def run(given: Given[PluginOptions]) -> int:
    """List what can be chosen by name, a line each; with --plugin also what a plug-in adds."""
    for kind in given.operands:
        if kind not in SHOWN:
            raise UsageError(f"{kind}: nothing of that kind{near_misses(kind, SHOWN)}; valid: {', '.join(SHOWN)}")
    blocks = []
    for title, registry in (SHOWN[kind] for kind in given.operands or SHOWN):
        entries = {name: registry.get(name) for name in registry}
        documented = {name: getattr(one, "values", one) for name, one in entries.items()}  # of a recipe its function
        lines = {name: summary_of_docstring(one.__doc__) for name, one in documented.items()}
        blocks.append(f"{title}:\n{listed(lines)}")
    print("\n\n".join(blocks))
    return 0
