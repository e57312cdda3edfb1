"""Recipes: the defaults that go with a model on a data set, as values of flags.

A recipe holds the training hyperparameters, the batch size, how BatchNorm starts, and ``k``, the step up to which
a strategy that prunes after pre-training trains the full network. One that stands for a publication may name a
``pruning_strategy`` and how that prunes. Whatever a recipe does not name keeps its dataclass's default.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from foundations.errors import UsageError, near_misses
from foundations.registry import Registry
from foundations.steps import Step
from models import family

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """Named flag values for a family of models on a data set (``"*"``: on any, or any family)."""

    name: str
    family: str
    dataset: str
    values: Callable[[], Values]


recipes: Registry[Recipe] = Registry("recipe")


def register(name: str, family: str, dataset: str) -> Callable[[Callable[[], Values]], Callable[[], Values]]:
    """Decorator of a function without arguments that returns the flags' values.

    The first recipe registered for a pair is its default.
    """

    def enter(values: Callable[[], Values]) -> Callable[[], Values]:
        recipes.register(f"{family}/{dataset}/{name}")(Recipe(name, family, dataset, values))
        return values

    return enter


@register("thesis", "cifar_resnet", "cifar10")
def thesis() -> Values:
    """Bolwerk 2021, sections 3.2.3 and 4.1, with momentum; SynFlow's ResNet-18 hyperparameters."""
    return {
        "batchnorm_init": "ones", "optimizer": "momentum", "lr": 0.01, "training_steps": Step("160ep"),
        "milestone_steps": (Step("60ep"), Step("120ep")), "gamma": 0.2, "weight_decay": 5e-4, "batch_size": 128,
        "k": Step("30ep"),
    }  # fmt: skip


@register("budget", "cifar_resnet", "cifar10")
def budget() -> Values:
    """ResNet-20 on CIFAR-10 for two CPU cores, with ``--precision=bf16`` where the processor has it; not yet trained to
    its end, so that its accuracy and its time are not known.

    One cycle (Smith & Topin 2017, arXiv 1708.07120), label smoothing, no decay of BatchNorm and biases, and flips that
    alternate (KellerJordan/cifar10-airbench). What has been tried stands in docs/results/plan.md. ``k`` is at the same
    share of the training as the thesis's 30 of 160 epochs.
    """
    return {
        "batchnorm_init": "ones", "optimizer": "nesterov", "lr": 0.1, "lr_schedule": "one_cycle",
        "training_steps": Step("70ep"), "weight_decay": 5e-4, "weight_decay_of": "weights", "label_smoothing": 0.1,
        "batch_size": 128, "crop_border": "reflected", "flips": "alternating", "k": Step("13ep"),
    }  # fmt: skip


@register("open_lth", "cifar_resnet", "*")
@register("open_lth", "cifar_vgg", "*")
def open_lth() -> Values:
    """open_lth's for CIFAR networks; the schedule of Linear Mode Connectivity (Frankle et al. 2020) in epochs.

    ``k`` is where that paper finds the dense ResNet-20 stable, 2000 iterations; in the paper IMP subnetworks are
    stable earlier.
    """
    return {
        "batchnorm_init": "uniform", "optimizer": "momentum", "lr": 0.1, "training_steps": Step("160ep"),
        "milestone_steps": (Step("80ep"), Step("120ep")), "gamma": 0.1, "weight_decay": 1e-4, "batch_size": 128,
        "k": Step("2000it"),
    }  # fmt: skip


@register("open_lth", "mnist_lenet", "*")
def open_lth_lenet() -> Values:
    """open_lth's for LeNet, which is stable at initialization on MNIST (Frankle et al. 2020, section 3)."""
    return {
        "optimizer": "sgd", "lr": 0.1, "training_steps": Step("40ep"), "batch_size": 128, "k": Step("1ep"),
    }  # fmt: skip


@register("lottery_ticket", "mnist_lenet", "*")
def lottery_ticket() -> Values:
    """Frankle & Carbin 2019, arXiv 1803.03635, LeNet-300-100: section 2 and appendix G.

    The validation set is 5,000 of MNIST's 60,000 training images. The output layer is pruned at half the rate.
    Biases begin at zero, as in the authors' code (google-research/lottery-ticket-hypothesis, ``model_base.py``), which
    scales every image to unit norm; pixels in [0, 1] are those of kowshikgunda71/repro-lottery-ticket.
    """
    return {
        "model_init": "xavier_normal", "bias_init": "zeros", "normalization": "unit", "optimizer": "adam", "lr": 1.2e-3,
        "batch_size": 60, "training_steps": Step("50000it"), "validation_fraction": 5_000 / 60_000, "k": Step("0ep"),
        "pruning_strategy": "sparse_layerwise", "pruning_fraction": 0.2, "layer_fractions": ("fc:0.1",),
    }  # fmt: skip


@register("snip", "mnist_lenet", "*")
def snip() -> Values:
    """Lee et al. 2019, arXiv 1810.02340, section 5, LeNet-300-100 on MNIST at a sparsity of 95%.

    One batch of 100 images is scored, as it comes. Initialization as in the authors' code (namhoonlee/snip-public),
    which also scores and prunes biases, so that those which begin at zero all go, and draws new weights after it. Where
    the training ends the paper does not say: two drops of the learning rate, every 25,000 iterations, are ours.
    """
    return {
        "model_init": "lecun_normal", "bias_init": "zeros", "normalization": "standardize",
        "optimizer": "momentum", "lr": 0.1, "batch_size": 100, "weight_decay": 5e-4,
        "training_steps": Step("75000it"), "milestone_steps": (Step("25000it"), Step("50000it")), "gamma": 0.1,
        "validation_fraction": 0.1, "k": Step("0ep"), "pruning_strategy": "snip", "pruning_fraction": 0.95,
        "pruning_batches": 1, "pruning_batch_size": 100, "pruning_balanced": False,
    }  # fmt: skip


@register("synflow", "cifar_vgg", "*")
def synflow() -> Values:
    """Tanaka et al. 2020, arXiv 2006.05467, VGG with BatchNorm; as in the arguments stored beside their published
    results (``args.json`` in ganguli-lab/Synaptic-Flow, Results/data).
    """
    return {
        "batchnorm_init": "ones", "optimizer": "momentum", "lr": 0.1, "training_steps": Step("160ep"),
        "milestone_steps": (Step("60ep"), Step("120ep")), "gamma": 0.1, "weight_decay": 1e-4, "batch_size": 128,
        "k": Step("0ep"), "pruning_strategy": "synflow", "pruning_fraction": 0.9, "pruning_iterations": 100,
    }  # fmt: skip


@register("renda", "cifar_resnet", "*")
def renda() -> Values:
    """Renda, Frankle & Carbin 2020, arXiv 2003.02389, ResNets on CIFAR-10, weights rewound to epoch 12.

    Momentum as in their code (lottery-ticket/rewinding-iclr20-public), whose weight decay spares BatchNorm
    (``--weight_decay_of=without_batchnorm``). Other ways to retrain: ``--retrain``.
    """
    return {
        "batchnorm_init": "ones", "optimizer": "momentum", "lr": 0.1, "training_steps": Step("182ep"),
        "milestone_steps": (Step("91ep"), Step("136ep")), "gamma": 0.1, "weight_decay": 2e-4, "batch_size": 128,
        "k": Step("12ep"), "pruning_strategy": "sparse_global", "pruning_fraction": 0.2,
    }  # fmt: skip


LINEAR_MODE_CONNECTIVITY = "linear_mode_connectivity"
"""Frankle et al. 2020, arXiv 1912.05671, table 1; k is where the paper finds full networks stable."""


@register(LINEAR_MODE_CONNECTIVITY, "mnist_lenet", "*")
def linear_mode_connectivity_lenet() -> Values:
    """LeNet-300-100, stable at initialization."""
    return {
        "model_init": "xavier_normal", "optimizer": "adam", "lr": 1.2e-3, "batch_size": 60,
        "training_steps": Step("24000it"), "k": Step("0ep"),
        "pruning_strategy": "sparse_global", "pruning_fraction": 0.2,
    }  # fmt: skip


@register(LINEAR_MODE_CONNECTIVITY, "cifar_resnet", "*")
def linear_mode_connectivity_resnet() -> Values:
    """ResNet-20."""
    return {
        "batchnorm_init": "uniform", "optimizer": "momentum", "lr": 0.1, "training_steps": Step("63000it"),
        "milestone_steps": (Step("32000it"), Step("48000it")), "gamma": 0.1, "weight_decay": 1e-4, "batch_size": 128,
        "k": Step("2000it"), "pruning_strategy": "sparse_global", "pruning_fraction": 0.2,
    }  # fmt: skip


@register(LINEAR_MODE_CONNECTIVITY, "cifar_vgg", "*")
def linear_mode_connectivity_vgg() -> Values:
    """VGG-16."""
    return {**linear_mode_connectivity_resnet(), "k": Step("1000it")}


@register("lottery_ticket", "conv2", "*")
def lottery_ticket_conv2() -> Values:
    """The lottery-ticket paper's (Frankle & Carbin 2019, arXiv 1803.03635, figure 2) for Conv-2.

    The paper prunes 10% of the convolutions, 20% of the linear layers and 10% of the output a level:
    ``--pruning_strategy=sparse_layerwise --pruning_fraction=0.2 --layer_fractions=conv*:0.1,fc:0.1``. It rewinds to
    step 0; ``k`` is ours.
    """
    return {
        "model_init": "xavier_normal", "optimizer": "adam", "lr": 2e-4, "training_steps": Step("20000it"),
        "batch_size": 60, "k": Step("2000it"),
    }  # fmt: skip


@register("lottery_ticket", "conv4", "*")
def lottery_ticket_conv4() -> Values:
    """As for Conv-2, a learning rate of 3e-4 and 25,000 iterations."""
    return {**lottery_ticket_conv2(), "lr": 3e-4, "training_steps": Step("25000it")}


@register("lottery_ticket", "conv6", "*")
def lottery_ticket_conv6() -> Values:
    """As for Conv-4, 30,000 iterations; of the convolutions 15% are pruned a level."""
    return {**lottery_ticket_conv4(), "training_steps": Step("30000it")}


@register("open_lth", "imagenet_resnet", "*")
def open_lth_imagenet() -> Values:
    """open_lth's for ImageNet, which it says give 76.1%; for smaller batches the learning rate falls in proportion.

    Choices of ours are ``k``, a fifth of the training, and that scores look at 128 images, not at 1,024, for which
    SNIP on ResNet-50 would take some 60 GB.
    """
    return {
        "batchnorm_init": "uniform", "optimizer": "momentum", "lr": 0.4, "training_steps": Step("90ep"),
        "milestone_steps": (Step("30ep"), Step("60ep"), Step("80ep")), "gamma": 0.1, "warmup_steps": Step("5ep"),
        "weight_decay": 1e-4, "batch_size": 1024, "k": Step("18ep"), "pruning_batch_size": 128,
    }  # fmt: skip


@register("digits", "*", "digits")
def digits() -> Values:
    """A short training for 1,442 images of 8x8 pixels."""
    return {
        "batchnorm_init": "ones", "optimizer": "momentum", "lr": 0.05, "training_steps": Step("20ep"),
        "milestone_steps": (Step("12ep"), Step("17ep")), "gamma": 0.1, "weight_decay": 5e-4, "batch_size": 64,
        "k": Step("4ep"),
    }  # fmt: skip


@register("default", "*", "*")
def default() -> Values:
    """For a model or data set of one's own: momentum with two drops, half-way and at three quarters of 40 epochs."""
    return {
        "optimizer": "momentum", "lr": 0.05, "training_steps": Step("40ep"),
        "milestone_steps": (Step("20ep"), Step("30ep")), "gamma": 0.1, "weight_decay": 5e-4, "batch_size": 128,
        "k": Step("8ep"),
    }  # fmt: skip


def find_recipe(model: str, dataset: str, name: str | None) -> Values:
    """The values of the recipe called ``name``, or of the pair's default recipe.

    A recipe for just this pair goes before one for any model on the data set, and that before one for the model on
    any data set. A name that this pair does not have raises ``UsageError``.
    """
    fitting = sorted(
        (recipe for recipe in map(recipes.get, recipes.keys()) if recipe.family in (family(model), "*")
         and recipe.dataset in (dataset, "*")),
        key=lambda recipe: (recipe.dataset == "*", recipe.family == "*"),
    )  # fmt: skip
    chosen = [recipe for recipe in fitting if name in (None, recipe.name)]
    if not chosen:
        names = sorted({recipe.name for recipe in fitting})
        raise UsageError(
            f"--recipe={name}: no such recipe for {model} on {dataset}{near_misses(str(name), names)}; "
            f"valid: {', '.join(names)}"
        )
    return chosen[0].values()


def default_dataset(model: str) -> str:
    """The data set that a model is made for: the first word of its name if it is one of ours, else cifar10."""
    if family(model) == "mlp1d":
        return "arrays:mnist1d.npz"
    first = family(model).partition("_")[0]
    return first if first in ("mnist", "imagenet") else "cifar10"
