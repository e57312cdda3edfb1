"""The values that an experiment is asked for by, beside hyperparameters, and those that say how it is computed."""

from dataclasses import dataclass

from experiments.measurements import measurements
from foundations.errors import UsageError
from foundations.hparams import Hparams, hp, repeatable
from foundations.steps import Step
from stability.criteria import criteria
from training.data import DataHparams

MOST_THREADS = 1024
"""More than any machine has use for; PyTorch ends in a segmentation fault at some number above."""

PRESETS = OURS, PUBLISHED = ("ours", "published")


@dataclass(frozen=True, kw_only=True)
class RunOptions(Hparams):
    """Options of every experiment."""

    recipe: str | None = hp(None)
    """Defaults to start from: the model's and data set's own, or a named one (open_lth)."""
    preset: str = hp(OURS, choices=PRESETS)
    """Defaults of the strategy where the publication's differ from ours (docs/methods.md): ours, or published."""
    imported: str = hp("")
    """Start from an imported network, import_<hash> as `import` prints it, instead of an initialization."""
    replicate: int = hp(1, within="[1, inf)")
    """Number of the repetition, which all random numbers depend on; 1-3 or 1,4 for several."""
    measure: tuple[str, ...] = hp((), choices=measurements.keys())
    """Measurements of what is trained, or was before; they appear in tables and figures: signs,hessian."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Hparams):
    """How far a trunk is trained."""

    to: Step | None = hp(None)
    """Step to which the trunk is trained; default: its end. Later commands go on from there."""


@dataclass(frozen=True, kw_only=True)
class LotteryOptions(Hparams):
    """Which part of a lottery-ticket experiment is run, and how far it prunes."""

    pruning_strategy: str = hp("adsynflow")
    """How weights are chosen; a,b for several over the one trunk."""
    levels: tuple[int, ...] = hp((1,), within="[0, inf)")
    """Levels to train: 3, 1,3 or 0-3; 0 is the full network."""
    density: float | None = hp(None, within="(0, 1)")
    """What the last level keeps of the prunable weights; the fraction per level follows from it."""
    k: Step | str | None = hp(None, words=criteria)
    """Step from which the subnetwork is trained, and at which it is found unless --score_at=end; or the name of a
    criterion that finds it, whose flags then apply too. Several (auto,early_bird,4) are compared."""
    allow_collapse: bool = hp(False)
    """Train even a subnetwork that has no path left from input to output."""


@dataclass(frozen=True, kw_only=True)
class StabilityOptions(Hparams):
    """What is analysed."""

    pruning_strategy: str = hp("adsynflow")
    """What prunes at k; none for the full network; a,b for several over the one trunk."""
    k: Step | str | None = hp(None, words=criteria)
    """Step from which children are trained, or the name of a criterion that finds it; 0,5,2000it for several."""
    max_k: Step | None = hp(None)
    """The largest step that a criterion may find; default: the end of training, with --k=auto half of it, since a k
    near the end is trivially stable."""
    density: float | None = hp(None, within="(0, 1)")
    """What pruning keeps of the prunable weights; --pruning_fraction prunes the rest."""
    checkpoint: str | None = hp(None)
    """File of weights (safetensors or a plain state dict) that takes the place of the trunk at k."""
    report: bool = hp(True)
    """Draw figures and write tables at the end."""
    child: int | None = hp(None, within="[1, inf)")
    """Train only this child of the analysis, and compare nothing."""


@dataclass(frozen=True, kw_only=True)
class SessionOptions(Hparams):
    """Where and how experiments are computed; none of it is in a run's key."""

    root: str = hp("runs")
    """Directory of all runs; also $ADSYNFLOW_ROOT."""
    data_dir: str = hp("data")
    """Directory of the data sets; also $ADSYNFLOW_DATA."""
    device: str = hp("auto")
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int | None = hp(None, within=f"[1, {MOST_THREADS}]")
    """Threads on a CPU; a run that goes on keeps the number it began with. Default: PyTorch's."""
    jobs: int = hp(1, within=f"[1, {MOST_THREADS}]")
    """Processes that compute in parallel, each with --threads threads (default: a share of the machine): trunks,
    levels, branches and children of all that the command asks for."""
    workers: int | None = hp(None, within=f"[0, {MOST_THREADS}]")
    """Processes that decode streamed images (imagenet); default: one for each processor, at most 8, shared by
    the processes of torchrun. However many there are, the bits are the same."""
    verify_data: bool = hp(False)
    """Include the contents of every streamed image file in the fingerprint of the data; by default it is made of names,
    sizes and modification times."""
    at_once: int = hp(1, within="[1, inf)")
    """Tasks that are computed at once in this process, over one copy of the data, with the same results: fills a GPU
    with small networks. On a CPU they take turns, and nothing is gained. Not together with --jobs."""
    engine: str = hp("local")
    """What runs the tasks: local (this process, or --jobs of them), slurm or ray (a cluster; docs/scaling.md), or one
    that a plug-in brings."""
    cpus_per_task: int = hp(1, within=f"[1, {MOST_THREADS}]")
    """CPU cores that a task gets in a cluster; also its --threads, unless that is given."""
    gpus_per_task: float = hp(0.0, within="[0, 1024]")
    """GPUs that a task gets in a cluster; of Ray also a part of one, such as 0.25."""
    slurm: tuple[str, ...] = hp(())
    """Options of sbatch for --engine=slurm: partition=gpu,time=240 (minutes), and any other as name=value."""
    detach: bool = hp(False)
    """With --engine=slurm: submit the jobs and end; the same command, given later, shows what came of them."""
    deterministic: bool = hp(False)
    """Make results on CUDA reproducible bit by bit, at some cost in speed; on a CPU they always are."""
    cuda_graphs: str = hp("auto", choices=("auto", "off"))
    """Training steps on CUDA as CUDA graphs where they can be (auto), or launched one by one (off): the same bits."""
    allow_divergence: bool = hp(False)
    """Go on training after the loss has become infinite or NaN."""
    evaluate_every: Step = hp(Step("1ep"))
    """How often the test set is evaluated during training, and at its end; on small data sets evaluation takes a fifth
    of the time. It changes no weight."""
    recompute: bool = hp(False)
    """Put existing results aside (their directories are renamed) and compute them again."""
    quiet: bool = hp(False)
    """Print nothing but warnings and the result."""
    track: tuple[str, ...] = repeatable()
    """Also write metrics, hyperparameters and results for a tracker: tensorboard, wandb, or one that a plug-in brings;
    may be repeated."""
    plugin: tuple[str, ...] = repeatable()
    """A file or module that registers strategies, models, data sets, branches or recipes; may be repeated."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.evaluate_every == Step(0):
            raise UsageError("--evaluate_every=0ep: expected at least one step, such as 1ep or 100it")


MATCHES = BY_NAME, BY_ORDER = ("names", "order")


@dataclass(frozen=True, kw_only=True)
class ImportOptions(Hparams):
    """Which network it is, and how its tensors are matched with the model's."""

    mask: str = hp("")
    """File of its mask; or zeros, to prune weights that are zero; default: the mask in or beside the weights."""
    model: str = hp("cifar_resnet_20")
    """The network's architecture, by the name that it has here."""
    dataset: str | None = hp(None)
    """What it was trained on; default: the model's own."""
    normalization: str = hp(DataHparams.normalization)
    """How its inputs were normalized, as for the commands that train: standardize, unit or none."""
    step: Step = hp(Step("0ep"))
    """Training step that the network has reached; trainings that start from it continue there."""
    match: str = hp(BY_NAME, choices=MATCHES)
    """Match tensors by their names, or by order and shape where the names differ."""
    names: str = hp("")
    """JSON file that maps their names, or prefixes of them, to ours: {"blocks.0": "layer1.0"}."""
    replace_head: bool = hp(False)
    """Initialize the last layer anew, for a network that was trained on other classes."""
