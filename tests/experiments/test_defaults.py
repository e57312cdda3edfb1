"""Which value a hyperparameter has: given, else the strategy's, else the recipe's, else its dataclass's."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from experiments.define.defaults import Section, flags_of, recipe_values, refuse_unknown, select
from experiments.options import LotteryOptions
from experiments.session import Session
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.steps import Step
from lottery import SubnetworkHparams
from pruning import PruningHparams, Strategy, strategies
from training.hparams import TrainingHparams
from training.recipes import recipes, register


@pytest.fixture
def session() -> Session:
    return Session("nowhere", reporter=Reporter())


ON: Mapping[str, Any] = {"dataset": "digits", "model": "mnist_lenet_4"}


@pytest.fixture
def hot() -> None:
    """A recipe that says almost everything differently."""

    @register("hot", "mnist_lenet", "digits")
    def hot() -> dict[str, Any]:
        return {"lr": 0.7, "training_steps": "9ep", "k": Step("4ep"), "pruning_fraction": 0.3, "batch_size": 50}


@pytest.fixture
def keen() -> None:
    """A strategy with defaults of its own."""

    @strategies.register("keen")
    @dataclass(frozen=True, kw_only=True)
    class Keen(Strategy):
        """Scores by size."""

        defaults: ClassVar[Mapping[str, Any]] = {"pruning_fraction": 0.4, "k": Step("2ep")}

        def score(self, model: Any, batches: Any, generator: Any) -> Any:
            raise NotImplementedError


def of(session: Session, **flags: Any) -> tuple[float, float, str, int]:
    """Learning rate, pruning fraction, k and batch size of a lottery run."""
    desc: Any = session.lottery(**{**ON, **flags})[0].desc
    return desc.train.training.lr, desc.pruning.pruning_fraction, desc.k.short, desc.train.data.batch_size


def test_each_goes_before_the_next(session: Session, hot: None, keen: None) -> None:
    plain = {field.name: field.default for field in dataclasses.fields(TrainingHparams)}
    recipe, both = {"recipe": "hot", "pruning_strategy": "adsynflow"}, {"recipe": "hot", "pruning_strategy": "keen"}
    assert of(session, **both) == (0.7, 0.4, "2ep", 50)  # the strategy's before the recipe's
    assert of(session, **both, k=1, lr=0.2, pruning_fraction=0.6, batch_size=8) == (0.2, 0.6, "1ep", 8)
    assert of(session, **recipe)[0] == 0.7
    assert of(session, **recipe)[2:] == ("4ep", 50)
    assert session.train(**ON, recipe="hot")[0].desc.training.momentum == plain["momentum"]  # type: ignore[attr-defined]


def test_a_value_of_none_in_a_strategy_leaves_it_to_the_recipe(
    session: Session, hot: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strategies.get("random"), "defaults", {"pruning_fraction": None, "k": None})
    assert of(session, recipe="hot", pruning_strategy="random")[1:3] == (0.3, "4ep")


def test_the_full_network_has_no_strategy_s_defaults(keen: None) -> None:
    full = select({**ON, "pruning_strategy": "none"}, prunes=True)
    assert (full.strategy, "score_at" in full.defaults) == (None, False)
    assert select({**ON, "pruning_strategy": "keen"}, prunes=False).strategy is None
    keen_s = select({**ON, "pruning_strategy": "keen"}, prunes=True)
    assert (keen_s.defaults["pruning_fraction"], keen_s.defaults["score_at"]) == (0.4, "k")


def test_the_data_set_is_the_model_s_own_unless_it_is_given() -> None:
    assert select({"model": "cifar_resnet_20"}, prunes=False).defaults["dataset"] == "cifar10"
    assert select({"model": "cifar_resnet_20", "dataset": "digits"}, prunes=False).defaults["dataset"] == "digits"


def test_a_recipe_with_an_unknown_key_is_refused_with_near_misses(session: Session) -> None:
    register("typo", "mnist_lenet", "digits")(lambda: {"momentun": 0.9})
    message = "The recipe 'typo' of mnist_lenet_4 on digits has a value for 'momentun', which is no hyperparameter"
    with pytest.raises(UsageError, match=message + r" \(did you mean 'momentum'\?\)"):
        session.train(**ON, recipe="typo")


def test_what_is_no_hyperparameter_does_not_belong_in_a_recipe(session: Session) -> None:
    register("elsewhere", "mnist_lenet", "digits")(lambda: {"root": "/somewhere"})
    with pytest.raises(UsageError, match="'root', which is no hyperparameter"):
        session.train(**ON, recipe="elsewhere")


def test_an_unsuitable_value_of_a_recipe_is_refused(session: Session) -> None:
    register("fast", "mnist_lenet", "digits")(lambda: {"lr": "fast"})
    with pytest.raises(UsageError, match="--lr=fast: expected a number"):
        session.train(**ON, recipe="fast")


@pytest.mark.parametrize("name", recipes.names())
def test_every_shipped_recipe_names_hyperparameters_only(name: str) -> None:
    family, dataset, recipe = name.split("/")
    model = {
        "cifar_resnet": "cifar_resnet_20", "cifar_vgg": "cifar_vgg_16", "imagenet_resnet": "imagenet_resnet_18",
        "mnist_lenet": "mnist_lenet_4", "*": "mnist_lenet_4",
    }  # fmt: skip
    values = recipe_values(model.get(family, family), "digits" if dataset == "*" else dataset, recipe)
    assert values == recipes.get(name).values()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "mnist_lenet4"}, "--model=mnist_lenet4"),
        ({"dataset": "digit"}, r"--dataset=digit: .*did you mean 'digits'"),
        ({"pruning_strategy": "synflo"}, r"--pruning_strategy=synflo: .*did you mean 'synflow'"),
        ({"recipe": "thesi"}, "--recipe=thesi"),
    ],
)
def test_unknown_names_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        select({**ON, **given}, prunes=True)


def test_a_section_shows_the_defaults_that_count() -> None:
    section = Section("training", TrainingHparams, {"lr": 0.3, "no_field": 1}, frozenset({"gamma"}))
    values = section.values()
    assert values["lr"] == 0.3
    assert values["momentum"] == TrainingHparams.momentum
    assert not {"gamma", "no_field"} & set(flags_of([section]))


def test_a_flag_that_does_not_apply_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="--steam belongs to --oven=new"):
        refuse_unknown("steam", ["heat"], {"steam": "belongs to --oven=new"})
    with pytest.raises(UsageError, match=r"--hea: unknown flag \(did you mean '--heat'\?\); --help lists"):
        refuse_unknown("hea", ["heat"], {})


def test_the_environment_names_the_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADSYNFLOW_ROOT", "/somewhere")
    monkeypatch.setenv("ADSYNFLOW_DATA", "")
    options = Session(reporter=Reporter()).options
    assert (options.root, options.data_dir) == ("/somewhere", "data")
    assert Session("here", reporter=Reporter()).options.root == "here"


# Recipes that name a strategy -------------------------------------------------------------------------------------


@pytest.fixture
def published(keen: None) -> None:
    """A recipe for the strategy of one's own."""

    @register("published", "mnist_lenet", "digits")
    def published() -> dict[str, Any]:
        return {
            "training_steps": "9ep", "k": Step("5ep"), "pruning_strategy": "keen", "pruning_fraction": 0.3,
            "layers_to_ignore": ("fc",),
        }  # fmt: skip


def pruned_how(session: Session, **flags: Any) -> tuple[str, float, str, tuple[str, ...]]:
    """Strategy, pruning fraction, k and ignored layers of a lottery run."""
    desc: Any = session.lottery(**ON, recipe="published", **flags)[0].desc
    return desc.strategy.name, desc.pruning.pruning_fraction, desc.k, desc.pruning.layers_to_ignore


@pytest.mark.usefixtures("published")
def test_the_strategy_of_a_recipe_is_the_default_and_prunes_as_the_recipe_says(session: Session) -> None:
    assert pruned_how(session) == ("keen", 0.3, "5ep0it", ("fc",))
    assert pruned_how(session, pruning_fraction=0.7, k=1) == ("keen", 0.7, "1ep0it", ("fc",))


@pytest.mark.usefixtures("published")
def test_how_another_strategy_prunes_such_a_recipe_does_not_say(session: Session) -> None:
    assert pruned_how(session, pruning_strategy="adsynflow") == ("adsynflow", 0.9, "5ep0it", ())
    assert pruned_how(session, pruning_strategy="snip") == ("snip", 0.9, "0ep0it", ())
    desc: Any = session.stability(**ON, recipe="published", pruning_strategy="none", k=1)[0].desc
    assert desc.strategy is None


@pytest.mark.usefixtures("published")
def test_the_help_names_the_strategy_of_the_recipe() -> None:
    chosen = select({**ON, "recipe": "published"}, prunes=True)
    assert chosen.section("", LotteryOptions).values()["pruning_strategy"] == "keen"


# Published values of a strategy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "name", "ours", "theirs"),
    [("snip", "scoring_mode", "train", "eval"), ("force", "scoring_mode", "train", "eval"),
     ("prospr", "prospr_momentum", 0.9, 0.0), ("prospr", "pruning_batches", 4, 1),
     ("sparse_layerwise", "reset_optimizer", False, True)],
)  # fmt: skip
def test_the_preset_published(session: Session, strategy: str, name: str, ours: object, theirs: object) -> None:
    def value(**flags: Any) -> object:
        [experiment] = session.lottery(**ON, pruning_strategy=strategy, **flags).experiments
        return experiment_value(experiment.desc, name)

    assert value() == ours
    assert value(preset="published") == theirs
    assert value(preset="published", **{name: ours}) == ours  # a flag that is given goes before it


def experiment_value(desc: Any, name: str) -> object:
    parts = (desc.strategy, desc.pruning, desc)
    return next(getattr(part, name) for part in parts if hasattr(part, name))


def test_every_published_value_is_one_of_a_flag() -> None:
    flags = flags_of([Section("", cls) for cls in (LotteryOptions, SubnetworkHparams, PruningHparams)])
    for name in strategies:
        strategy = strategies.get(name)
        own = flags_of([Section("", strategy)])
        assert set(strategy.published) <= {*flags, *own}
