"""The experiments of Bolwerk 2021 and what it left open, at five sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.studies.study import Part, Study

DENSITY = 0.1
OTHER_DENSITIES = (0.05, 0.02)
REPLICATES = (1, 2, 3)
FULL, ADSYNFLOW, SYNFLOW = "full network", "AdSynFlow", "SynFlow at initialization"
IMP = "IMP in one level"
PLAIN_SGD, APART = "without momentum", "children 10% apart in learning rate and weight decay"


@dataclass(frozen=True, kw_only=True)
class Size:
    """A training, and the steps at which it is pruned and looked at."""

    name: str
    summary: str
    about: str
    training: Mapping[str, Any]
    k: int
    """In epochs, as all steps here."""
    ks: Sequence[int]
    """Of the stability curve."""
    published: Mapping[str, str] = field(default_factory=dict)
    """The thesis's numbers by title."""
    shortcuts: str = "*.shortcut"
    """The layers on the shortcuts of a residual network with BatchNorm; empty for another network."""
    analysis: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the comparison of children, beside their defaults."""
    remarks: str = ""
    """What the numbers do and do not say."""


def study(size: Size) -> Study:
    """All parts of a size: accuracies, then stability, then what may limit AdSynFlow, then replicates."""
    first, others = REPLICATES[0], REPLICATES[1:]
    return Study(
        name=size.name, summary=size.summary, about=size.about, training=size.training, reference=ADSYNFLOW,
        remarks=size.remarks, followed=(FULL, ADSYNFLOW, SYNFLOW),
        drawn=(FULL, ADSYNFLOW, SYNFLOW, "magnitude at k", "random at k", "SNIP at k", IMP), curves={
            "barrier_by_k": (FULL, ADSYNFLOW, *(f"{network}, {PLAIN_SGD}" for network in (FULL, ADSYNFLOW))),
            "barrier_perturbed": (FULL, ADSYNFLOW, *(f"{network}, {APART}" for network in (FULL, ADSYNFLOW))),
            "barrier_of_masks": (FULL, ADSYNFLOW, IMP),
        },
        parts=(
            *accuracies(size, [first], DENSITY),
            *stability(size, [first]),
            *limits(size, [first]),
            *accuracies(size, others, DENSITY)[:4],
            *stability(size, others)[:2],
            *changes(size, REPLICATES),
            *limits(size, others),
            *stability(size, others)[-1:],
            *accuracies(size, others, DENSITY)[4:],
            *(part for density in OTHER_DENSITIES for part in accuracies(size, REPLICATES, density)[1:5]),
        ),
    )  # fmt: skip


def accuracies(size: Size, replicates: Sequence[int], density: float) -> list[Part]:
    """Every method at one density, the most telling first."""
    methods: list[tuple[str, dict[str, Any]]] = [
        (ADSYNFLOW, {"pruning_strategy": "adsynflow", "k": size.k}),
        (SYNFLOW, {"pruning_strategy": "synflow", "k": 0}),
        ("magnitude at k", {"pruning_strategy": "magnitude", "k": size.k}),
        ("random at k", {"pruning_strategy": "random", "k": size.k}),
        ("SNIP at initialization", {"pruning_strategy": "snip", "k": 0}),
        ("random at initialization", {"pruning_strategy": "random", "k": 0}),
        ("SNIP at k", {"pruning_strategy": "snip", "k": size.k}),
        ("GraSP at initialization", {"pruning_strategy": "grasp", "k": 0}),
        ("GraSP at k", {"pruning_strategy": "grasp", "k": size.k}),
        ("SynFlow's score at k, without data", {"pruning_strategy": "synflow", "k": size.k}),
        (f"{ADSYNFLOW}, {PLAIN_SGD}", {"pruning_strategy": "adsynflow", "k": size.k, "optimizer": "sgd"}),
    ]
    full = Part(
        title=FULL, command="train", flags={**size.training, "replicate": [*replicates]},
        published=size.published.get(FULL, ""),
    )  # fmt: skip
    return [full, *(lottery(size, title, replicates, density=density, **flags) for title, flags in methods)]


def lottery(size: Size, title: str, replicates: Sequence[int], **flags: Any) -> Part:
    """Level 1 of a lottery run."""
    return Part(
        title=title, command="lottery", published=size.published.get(title, ""),
        flags={**size.training, **flags, "replicate": [*replicates]},
    )  # fmt: skip


def stability(size: Size, replicates: Sequence[int]) -> list[Part]:
    """Barrier against k (the thesis's figures 4.1 to 4.3): full and pruned, with and without momentum, and as the
    thesis's code did it, whose two copies also differed in learning rate and weight decay.
    """
    curve = {**size.training, **size.analysis, "replicate": [*replicates], "k": [*size.ks]}
    pruned = {"pruning_strategy": "adsynflow", "density": DENSITY}
    variants: list[tuple[str, dict[str, Any]]] = [
        (FULL, {"pruning_strategy": "none"}),
        (ADSYNFLOW, pruned),
        (f"{FULL}, {PLAIN_SGD}", {"pruning_strategy": "none", "optimizer": "sgd"}),
        (f"{ADSYNFLOW}, {PLAIN_SGD}", {**pruned, "optimizer": "sgd"}),
        (f"{FULL}, {APART}", {"pruning_strategy": "none", "perturb_hyperparameters": 0.1}),
        (f"{ADSYNFLOW}, {APART}", {**pruned, "perturb_hyperparameters": 0.1}),
        (IMP, {"pruning_strategy": "sparse_global", "density": DENSITY}),
    ]  # fmt: skip
    return [
        Part(
            title=title, command="stability", flags={**curve, **flags},
            published=size.published.get(f"{title}, barrier", ""),
        )
        for title, flags in variants
    ]  # fmt: skip


def limits(size: Size, replicates: Sequence[int]) -> list[Part]:
    """What limits AdSynFlow: its mask, or k? Other masks of the same density at the same k in its place."""
    at_k = {"density": DENSITY, "k": size.k}
    shuffled = {**size.training, **at_k, "pruning_strategy": "adsynflow", "replicate": [*replicates]}
    found = [
        lottery(size, IMP, replicates, **at_k, pruning_strategy="sparse_global"),
        Part(title="AdSynFlow's layer densities, weights at random", command="lottery_branch", branch="shuffle",
             flags=shuffled),
    ]  # fmt: skip
    if size.shortcuts:
        spared = {**at_k, "pruning_strategy": "adsynflow", "layers_to_ignore": [size.shortcuts]}
        found.append(lottery(size, "AdSynFlow, shortcuts left dense", replicates, **spared))
    return found


def changes(size: Size, replicates: Sequence[int]) -> list[Part]:
    """Principled changes of AdSynFlow, each by one flag."""
    variants: list[tuple[str, dict[str, Any]]] = [
        ("flow of a batch", {"synflow_input": "batch"}),
        ("flow of one image", {"synflow_input": "image"}),
        ("signs kept", {"synflow_signs": "kept"}),
        ("equal density of layers", {"pruning_scope": "layer"}),
        ("ERK densities of layers", {"pruning_scope": "erk"}),
    ]
    if size.shortcuts:
        treatments = [(f"BatchNorm as {name}", {"synflow_batchnorm": name}) for name in ("scale", "identity")]
        variants = [*treatments, ("shortcuts scored apart", {"layers_apart": [size.shortcuts]}), *variants]
    fixed = {"pruning_strategy": "adsynflow", "density": DENSITY, "k": size.k}
    return [lottery(size, f"{ADSYNFLOW}, {what}", replicates, **fixed, **flags) for what, flags in variants]


JPEG = "the images are stored again as JPEG (quality 75) where the original batches are not there"
TWENTY_EPOCHS: dict[str, Any] = {
    "model": "cifar_resnet_20", "dataset": "cifar10", "training_steps": "20ep", "lr": 0.1,
    "milestone_steps": ["8ep", "15ep"], "gamma": 0.2, "weight_decay": 5e-4,
}  # fmt: skip
THESIS = {
    FULL: "90.14% (thesis: 160 epochs, lr 0.01)",
    ADSYNFLOW: "85.27% (thesis: pruned at epoch 30 of 160, lr 0.01)",
    SYNFLOW: "about 80% (thesis)",
    f"{ADSYNFLOW}, {APART}, barrier": "11.3 points at epoch 30 (thesis)",
    f"{ADSYNFLOW}, {PLAIN_SGD}": "70.98% (thesis)",
}

SMALL = Size(
    name="thesis-small",
    summary="10,000 images, 20 epochs: 6 minutes a training on two cores, the first 14 parts in under 3 hours",
    about="ResNet-20 on 10,000 training and all test images of CIFAR-10, 20 epochs, momentum, lr 0.1 with x0.2 at "
    f"epochs 8 and 15, weight decay 5e-4, batch 128; k = 4 epochs. Unlike the thesis: a fifth of the images, an "
    f"eighth of the epochs, ten times its learning rate; {JPEG}.",
    training={**TWENTY_EPOCHS, "subsample_fraction": 0.2}, k=4, ks=(0, 1, 2, 4, 8), published=THESIS,
    analysis={"interpolation_examples": 2000, "alphas": 11},
    remarks="Mostly replicate 3, on a processor without bfloat16; the other replicates, and all k, are in "
    "thesis-small-bf16. It says the same: IMP's mask is as good as the full network, AdSynFlow is not. SynFlow at "
    "initialization is above AdSynFlow in both of its replicates.",
)  # fmt: skip

SIZES = (
    Size(
        name="thesis", summary="full size: ResNet-20 on CIFAR-10, 160 epochs; for a GPU",
        about="ResNet-20 on CIFAR-10 by the thesis's recipe: 160 epochs, momentum, lr 0.01 with x0.2 at epochs 60 and "
        "120, weight decay 5e-4, batch 128.",
        training={"model": "cifar_resnet_20", "dataset": "cifar10", "recipe": "thesis"}, k=30,
        ks=(0, 2, 5, 10, 15, 20, 25, 30, 40, 60, 80), published=THESIS,
    ),
    Size(
        name="thesis-medium", summary="all 50,000 images, 20 epochs: about 35 minutes a training on two cores",
        about="ResNet-20 on CIFAR-10, 20 epochs, momentum, lr 0.1 with x0.2 at epochs 8 and 15, weight decay 5e-4, "
        f"batch 128; k = 4 epochs. Unlike the thesis: an eighth of its epochs, ten times its learning rate; {JPEG}.",
        training=TWENTY_EPOCHS, k=4, ks=(0, 1, 2, 4, 8), published=THESIS,
        remarks="One run each, so that differences of half a point say nothing. SynFlow, AdSynFlow and random pruning "
        "lie within 0.6 points, where the thesis has 5 between the first two: unexplained, since epochs, learning "
        "rate and images differ at once. Magnitude at k is 2.7 points above random pruning at k, the full network "
        "4.2 above that.",
    ),
    SMALL,
    Size(
        name="thesis-budget", summary="all 50,000 images, 70 epochs in bfloat16; for two CPU cores",
        about="ResNet-20 on CIFAR-10 by the recipe budget: 70 epochs, Nesterov momentum, one cycle up to lr 0.1, "
        "weight decay 5e-4 of weights alone, label smoothing 0.1, batch 128, in bfloat16; 45,000 training and 5,000 "
        "validation images, by which barriers are judged; k = 13 epochs. Unlike the thesis: half of its epochs; "
        f"{JPEG}.",
        training={"model": "cifar_resnet_20", "dataset": "cifar10", "recipe": "budget", "precision": "bf16",
                  "validation_fraction": 0.1},
        k=13, ks=(0, 3, 7, 13, 26), published=THESIS, analysis={"judge_by": "validation", "children": 5},
    ),
    replace(
        SMALL, name="thesis-small-bf16",
        summary="thesis-small in bfloat16: 3 to 4 minutes a training on two cores that have it",
        about=f"{SMALL.about} Trained in bfloat16 (--precision=bf16), which changes numbers a little.",
        training={**SMALL.training, "precision": "bf16"},
        remarks="One or two replicates of barriers, with one pair of children each. The curves have the shape of the "
        "thesis's figures 4.1 to 4.3: large at k = 0, falling, for the pruned network later. Unlike there, the pruned "
        "network becomes stable. IMP's mask at the same k = 4 is stable and as good as the full network: the mask "
        "limits AdSynFlow, not k. What follows is in [methods.md](methods.md#what-limits-adsynflow).",
    ),
    Size(
        name="thesis-mnist", summary="LeNet-300-100 on Fashion-MNIST, 10 epochs: seconds a training",
        about="LeNet-300-100 on Fashion-MNIST, 10 epochs, momentum, cosine schedule from lr 0.05, batch 128, no "
        "augmentation; k = 1 epoch. The thesis leaves MNIST and LeNet to later work.",
        training={"model": "mnist_lenet_300_100", "dataset": "fashion_mnist", "training_steps": "10ep",
                  "optimizer": "momentum", "lr": 0.05, "lr_schedule": "cosine", "do_not_augment": True},
        k=1, ks=(0, 1, 2, 4, 6), shortcuts="", analysis={"alphas": 11, "children": 3, "align": True},
        remarks="LeNet is stable from k = 1 on, pruned by AdSynFlow from the start, without momentum everywhere; so "
        "stability cannot be what its masks lack: 1.8 points to the full network, of which IMP in one level makes "
        "up 1.35.",
    ),
    Size(
        name="thesis-imagenet", summary="ResNet-50 on ImageNet, 90 epochs; for GPUs",
        about="ResNet-50 on ImageNet by open_lth's recipe. The thesis leaves it to later work.",
        training={"model": "imagenet_resnet_50", "dataset": "imagenet"}, k=18, ks=(0, 4, 9, 18, 30),
        shortcuts="*.downsample",
    ),
)  # fmt: skip
