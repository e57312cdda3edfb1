"""The first pass over a command line: what was chosen decides which flags there are and what they default to."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cli.flags import Section, make_parser
from cli.options import LotteryOptions, RunOptions, repeatable
from cli.plugins import load_plugins
from cli.stability_options import StabilityOptions
from foundations.hparams import Hparams, hp
from foundations.methods import Method
from foundations.reporting import Reporter
from lottery.branch import branches
from models import ModelHparams
from models.registry import parse as parse_model
from pruning import PruningHparams, Strategy, strategies
from stability import AnalysisHparams
from training.data import DataHparams, find_loader
from training.hparams import TrainingHparams
from training.recipes import default_dataset, find_recipe

FRAMEWORK: tuple[type[Hparams], ...] = (
    RunOptions, LotteryOptions, ModelHparams, DataHparams, TrainingHparams, PruningHparams,
)  # fmt: skip

STABILITY: tuple[type[Hparams], ...] = (StabilityOptions, AnalysisHparams)

ENVIRONMENT: Mapping[str, str] = {"root": "ADSYNFLOW_ROOT", "data_dir": "ADSYNFLOW_DATA"}


@dataclass(frozen=True, kw_only=True)
class Choice(Hparams):
    """The flags that other flags depend on."""

    model: str = hp(ModelHparams.model)
    dataset: str | None = hp(None)
    pruning_strategy: str = hp(LotteryOptions.pruning_strategy)
    recipe: str | None = hp(None)
    plugin: tuple[str, ...] = repeatable()


@dataclass(frozen=True)
class Selection:
    """The chosen model, data set, strategy and the defaults that come with them."""

    strategy: type[Strategy] | None
    defaults: Mapping[str, Any]

    def section(self, title: str, cls: type[Hparams], *hidden: str) -> Section:
        """The flags of a dataclass, with the defaults of this selection."""
        return Section(title, cls, self.defaults, frozenset(hidden))

    def shared_sections(self) -> list[Section]:
        """The sections of every command that trains."""
        return [
            self.section("run", RunOptions),
            self.section("model", ModelHparams),
            self.section("data", DataHparams),
            self.section("training", TrainingHparams),
        ]

    def strategy_section(self) -> list[Section]:
        """The chosen strategy's own flags."""
        if self.strategy is None:
            return []
        return [self.method_section("strategy", self.strategy)]

    def method_section(self, what: str, method: type[Method]) -> Section:
        """The flags of a strategy or branch, under its name and summary."""
        return self.section(f"{what} {method.name}: {method.summary().rstrip('.')}", method)

    def inapplicable(self) -> dict[str, str]:
        """Flags of other commands and of strategies that are not selected, each with why it does not apply."""
        elsewhere = {
            flag: "is no flag of this command" for cls in (*FRAMEWORK, *STABILITY) for flag in Section("", cls).values()
        }
        owners: dict[str, list[str]] = {}
        for what, registry in (("--pruning_strategy=", strategies), ("lottery_branch ", branches)):
            for name in registry:
                if registry.get(name) is not self.strategy:
                    for flag in Section(name, registry.get(name)).values():
                        owners.setdefault(flag, []).append(f"{what}{name}")
        return elsewhere | {
            flag: f"belongs to {' or '.join(names)}, which is not selected" for flag, names in owners.items()
        }


def select(argv: Sequence[str], *, prunes: bool, reporter: Reporter) -> Selection:
    """Reads the deciding flags of a command line, plug-ins first.

    Args:
        prunes: whether the command has a strategy at all.

    Raises:
        UsageError: for an unknown model, data set, strategy or recipe, or a plug-in that fails.
    """
    chosen = choose(argv, reporter)
    parse_model(chosen.model)
    dataset = chosen.dataset or default_dataset(chosen.model)
    find_loader(dataset)
    strategy = strategies.get(chosen.pruning_strategy) if prunes else None
    defaults = {**find_recipe(chosen.model, dataset, chosen.recipe), "dataset": dataset}
    if strategy is not None:
        defaults |= {name: value for name, value in strategy.defaults.items() if value is not None}
        defaults["score_at"] = strategy.pruning_defaults()["score_at"]
    defaults |= {name: os.environ[variable] for name, variable in ENVIRONMENT.items() if os.environ.get(variable)}
    return Selection(strategy, defaults)


def choose(argv: Sequence[str], reporter: Reporter) -> Choice:
    """Reads the deciding flags and imports the plug-ins among them, which may not take the framework's flags."""
    given, _ = make_parser("", "", [Section("", Choice)]).parse_known_args(list(argv))
    texts = {name: value for name, value in vars(given).items() if name != "help"}
    taken = [flag for cls in FRAMEWORK for flag in Section("", cls).values()]
    # Branches may share the flags of the analysis: one of them is it.
    strategies.reserve([*taken, *(flag for cls in STABILITY for flag in Section("", cls).values())])
    branches.reserve(taken)
    plugins = tuple(texts.pop("plugin", ()))
    load_plugins(plugins, reporter)
    return Choice(**texts, plugin=plugins)
