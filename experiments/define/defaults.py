"""From names and given values to hyperparameters: the only place that merges what was given with defaults.

A value that was not given is that of the chosen strategy, else that of the recipe, else that of its dataclass. A
recipe that names a strategy goes before that strategy's own values, and says nothing about how others prune.
"""

from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, fields, replace
from pathlib import Path
from typing import Any, NoReturn, get_origin, get_type_hints

from experiments.measurements import Measurement, measurements
from experiments.options import PUBLISHED, LotteryOptions, RunOptions, SessionOptions, StabilityOptions, TrainOptions
from foundations.errors import UsageError, near_misses
from foundations.hparams import Hparams, Section, coerce
from foundations.methods import Method, MethodRegistry
from foundations.provenance import plugin_of
from foundations.steps import Step
from lottery import SubnetworkHparams
from lottery.branch import Branch, branches
from models import ModelHparams
from models.registry import parse as parse_model
from pruning import ImportedMask, PruningHparams, Strategy, strategies
from stability import AnalysisHparams, ChildrenHparams
from stability.criteria import Criterion, criteria
from training.data import DataHparams, find_loader
from training.hparams import TrainDesc, TrainingHparams
from training.imported import find_imported
from training.recipes import default_dataset, find_recipe

NONE = "none"
"""The name of no strategy: the full network."""
ELSEWHERE_CALLED: Mapping[str, str] = {
    **dict.fromkeys(("sparsity", "prune_ratio", "pruning_ratio", "compression"), "--density, the share that is kept"),
    **dict.fromkeys(("seed", "seeds"), "--replicate"),
    **dict.fromkeys(("epochs", "num_epochs", "max_epochs", "steps"), "--training_steps"),
    **dict.fromkeys(("learning_rate", "base_lr"), "--lr"),
    **dict.fromkeys(("wd", "l2"), "--weight_decay"),
    **dict.fromkeys(("bs", "train_batch_size"), "--batch_size"),
    **dict.fromkeys(("rewind_epoch", "rewinding_steps", "pretrain_epochs"), "--k"),
    **dict.fromkeys(("pruner", "prune_method", "pruning_method"), "--pruning_strategy"),
}
"""Names that other programs have for flags."""
SHARED: tuple[type[Hparams], ...] = (
    RunOptions, TrainOptions, SessionOptions, LotteryOptions, SubnetworkHparams, ModelHparams, DataHparams,
    TrainingHparams, PruningHparams,
)  # fmt: skip
"""Fields of these may be those of no strategy and of no branch."""

OF_STABILITY: tuple[type[Hparams], ...] = (StabilityOptions, ChildrenHparams, AnalysisHparams)
"""Fields of these may be those of no strategy. Branches may share them: one of them is the analysis."""

FRAMEWORK: tuple[type[Hparams], ...] = (*SHARED, *OF_STABILITY)

IN_NO_KEY = {
    "allow_collapse", "report", "child", "max_k", "measure", "to", *(item.name for item in fields(AnalysisHparams)),
}  # fmt: skip
"""Flags that choose a part of an experiment, or how it is looked at. They take one value, for all experiments."""

RECIPE_CLASSES: tuple[type[Hparams], ...] = (ModelHparams, DataHparams, TrainingHparams, PruningHparams)


@dataclass(frozen=True)
class Selection:
    """The chosen strategy, branch, criterion for k and measurements, and the defaults that come with model, data set,
    strategy and recipe."""

    strategy: type[Strategy] | None
    branch: type[Branch] | None
    defaults: Mapping[str, Any]
    criterion: type[Criterion] | None = None
    measurements: tuple[type[Measurement], ...] = ()

    def section(self, title: str, cls: type[Hparams], *hidden: str) -> Section:
        """Return the flags of a dataclass, with the defaults of this selection."""
        return Section(title, cls, self.defaults, frozenset(hidden))

    def shared_sections(self) -> list[Section]:
        return [
            self.section("run", RunOptions, *(() if self.strategy else ("preset",))),
            self.section("model", ModelHparams),
            self.section("data", DataHparams),
            self.section("training", TrainingHparams),
            *(section for one in self.measurements for section in self.method_sections("measurement", one)),
        ]

    def method_sections(self, what: str, method: type[Method] | None) -> list[Section]:
        """Return the flags of a strategy, branch or criterion under its name and summary; none if there is none."""
        if method is None:
            return []
        return [self.section(f"{what} {method.name}: {method.summary().rstrip('.')}", method)]


def select(given: Mapping[str, Any], *, prunes: bool, branch: str | None = None) -> Selection:
    """Return the strategy, branch, criterion and defaults that model, data set, strategy and recipe decide.

    Args:
        given: one experiment's values by name.
        prunes: whether the experiment has a strategy at all.
        branch: the name of a lottery branch.

    Raises:
        UsageError: an unknown model, data set, strategy, branch or recipe, or a recipe with an unknown key.
    """
    for name in given.keys() & {"model", "dataset", "pruning_strategy"}:
        coerce(name, given[name], str)  # before it is looked up
    model = given.get("model", ModelHparams.model)
    _, builder, _ = parse_model(model)
    dataset = given.get("dataset") or default_dataset(model)
    find_loader(dataset)
    recipe = {**recipe_values(model, dataset, given.get("recipe")), "dataset": dataset}
    if plugin_of(builder):  # its network stays as it is built, unless the user says otherwise
        recipe = {name: value for name, value in recipe.items() if name not in ("model_init", "batchnorm_init")}
    by_default = "imported" if given.get("imported") else recipe.get("pruning_strategy", "adsynflow")
    name = given.get("pruning_strategy", by_default)
    strategy = strategies.get(name) if prunes and name != NONE else None
    defaults = recipe if strategy is None else with_strategy(recipe, strategy)
    if strategy is not None and given.get("preset") == PUBLISHED:
        defaults = {**defaults, **strategy.published}
    k = given.get("k")
    criterion = criteria.get(k) if isinstance(k, str) and k in criteria else None
    measured = tuple(measurements.get(one) for one in coerce("measure", given.get("measure", ()), tuple[str, ...]))
    return Selection(strategy, None if branch is None else branches.get(branch), defaults, criterion, measured)


def with_strategy(recipe: Mapping[str, Any], strategy: type[Strategy]) -> dict[str, Any]:
    general = strategy.pruning_defaults()
    own = {name: value for name, value in strategy.defaults.items() if value is not None}
    meant = recipe.get("pruning_strategy")
    if meant == strategy.name:
        merged = {**general, **own, **recipe}
    else:
        others = [item.name for item in fields(PruningHparams)] if meant else []
        merged = {**general, **{name: value for name, value in recipe.items() if name not in others}, **own}
    return {**merged, "score_at": general["score_at"]}


def recipe_values(model: str, dataset: str, name: str | None) -> Mapping[str, Any]:
    """Return the values of a recipe; ``UsageError`` with near misses if it names what is no hyperparameter."""
    values = find_recipe(model, dataset, name)
    known = {item.name for cls in RECIPE_CLASSES for item in fields(cls)} | {"k", "pruning_strategy"}
    for key in values:
        if key not in known:
            recipe = f"The recipe {name!r}" if name else "The recipe"
            raise UsageError(
                f"{recipe} of {model} on {dataset} has a value for {key!r}, which is no hyperparameter"
                f"{near_misses(key, known)}"
            )
    return values


@dataclass(frozen=True)
class Values:
    """One experiment's values: those given, over the defaults of what they select."""

    selection: Selection
    sections: list[Section]
    given: Mapping[str, Any]

    @property
    def replicate(self) -> int:
        return int(self.build(RunOptions).replicate)

    def at(self, k: Step) -> "Values":
        return replace(self, given={**self.given, "k": k})

    def build(self, cls: type[Hparams]) -> Any:
        """Return the hyperparameters of a section's dataclass."""
        section = next(section for section in self.sections if section.cls is cls)
        return cls(**{name: self.given.get(name, default) for name, default in section.values().items()})

    def train_desc(self) -> TrainDesc:
        return TrainDesc(
            model=self.build(ModelHparams), data=self.build(DataHparams), training=self.build(TrainingHparams),
            imported=self.build(RunOptions).imported,
        )  # fmt: skip

    def measurements(self, *, with_children: bool = False) -> tuple[Measurement, ...]:
        """Return the chosen ones; ``UsageError`` if one cannot be taken, or compares children and there are none."""
        chosen = tuple(self.build(cls) for cls in dict.fromkeys(self.selection.measurements))
        for one in chosen:
            if one.of_children and not with_children:
                raise UsageError(f"--measure={one.name}: compares children, which only stability trains")
            one.check()
        return chosen

    def pruning(self, root: Path, density: float | None, levels: int = 1) -> PruningHparams:
        """Return the pruning hyperparameters, with the fraction by which ``levels`` levels come to ``density``.

        An imported mask, which lies below ``root``, says itself what it keeps.
        """
        pruning: PruningHparams = self.build(PruningHparams)
        if self.selection.strategy is ImportedMask:
            return replace(pruning, pruning_fraction=self._pruned_by_import(root, density, levels))
        if density is None:
            return pruning
        if "pruning_fraction" in self.given:
            raise UsageError("--density and --pruning_fraction say the same thing; give one of them")
        if levels == 0:
            raise UsageError(f"--density={density}: --levels=0 prunes nothing")
        return replace(pruning, pruning_fraction=float(1 - density ** (1 / levels)))

    def _pruned_by_import(self, root: Path, density: float | None, levels: int) -> float:
        if density is not None or "pruning_fraction" in self.given:
            flag = "density" if density is not None else "pruning_fraction"
            raise UsageError(f"--{flag}: an imported mask keeps what it keeps; leave the flag out")
        if levels > 1:
            raise UsageError(f"--levels={levels}: an imported mask is that of level 1")
        key = self.build(RunOptions).imported
        if not key:
            raise UsageError("--pruning_strategy=imported: give the network with --imported=import_<hash>")
        return 1 - find_imported(root, key).density


METHODS: Mapping[str, MethodRegistry[Any]] = {
    "--pruning_strategy=": strategies, "lottery_branch ": branches, "--k=": criteria, "--measure=": measurements,
}  # fmt: skip
"""What has flags of its own, by what selects it."""


def flags_of(sections: Iterable[Section]) -> list[str]:
    return [item.name for section in sections for item in section.items()]


def refuse_unknown(name: str, known: Iterable[str], elsewhere: Mapping[str, str]) -> NoReturn:
    """Raise ``UsageError`` for a flag that does not exist, or that does not apply here.

    Args:
        name: the flag, without dashes; as a keyword it has the same name.
        known: the flags that apply.
        elsewhere: flags that exist but do not apply, each with the reason.
    """
    if name in elsewhere:
        raise UsageError(f"--{name} {elsewhere[name]}")
    called = ELSEWHERE_CALLED.get(name)
    hint = f" (here {called})" if called else near_misses(name, known, prefix="--")
    raise UsageError(f"--{name}: unknown flag{hint}; --help lists the valid ones")


def inapplicable(selections: Iterable[Selection], framework: Iterable[type[Hparams]]) -> dict[str, str]:
    """Return the flags of other commands and of methods not selected, each with why it does not apply.

    Args:
        selections: what is selected.
        framework: the dataclasses of all commands.
    """
    elsewhere = {flag: "is no flag of this command" for cls in framework for flag in flags_of([Section("", cls)])}
    selected = [
        method
        for chosen in selections
        for method in (chosen.strategy, chosen.branch, chosen.criterion, *chosen.measurements)
    ]
    owners: dict[str, list[str]] = {}
    for what, registry in METHODS.items():
        for name in registry:
            if registry.get(name) not in selected:
                for flag in flags_of([Section(name, registry.get(name))]):
                    owners.setdefault(flag, []).append(f"{what}{name}")
    return elsewhere | {
        flag: f"belongs to {' or '.join(names)}, which is not selected" for flag, names in owners.items()
    }


def all_flags(*more: type[Hparams]) -> "dict[str, tuple[Field[Any], Any]]":
    """Return field and type of every flag there is, by its name, with those of ``more`` classes."""
    methods = [registry.get(name) for registry in METHODS.values() for name in registry]
    return {
        item.name: (item, hints[item.name])
        for cls in (*methods, *FRAMEWORK, *more)
        for hints in (get_type_hints(cls),)
        for item in fields(cls)
    }


def holds_several(hint: Any) -> bool:
    return get_origin(hint) is tuple or any(get_origin(part) is tuple for part in getattr(hint, "__args__", ()))
