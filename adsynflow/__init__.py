"""AdSynFlow's public face: what other people's programs import.

    from adsynflow import Session

:class:`Session` has the experiments of the command line. The parts below it stand on their own, for any ``nn.Module``
and any training loop: :func:`prune` and :class:`Mask`; :class:`TrainState` and :func:`train`; :class:`Line` and
:func:`walk`. docs/python.md has an example of each. A plug-in registers its classes and functions with what is here,
too: ``from adsynflow import Strategy, strategies``; docs/extending.md has an example of each kind.
"""

from experiments.checks import Check, checks
from experiments.define.grid import Grid
from experiments.exchange import Subnetwork, export_formats
from experiments.measurements import Finished, Measurement, measurements
from experiments.report.stability import branch_reports
from experiments.run import in_process
from experiments.run.engines import Failed, Failure, engines
from experiments.run.plan import Plan, make_plan
from experiments.run.tasks import Task
from experiments.run.trackers import Tracker, trackers
from experiments.runs.stored import StoredRun
from experiments.runs.stored import open as open_run
from experiments.session import Session
from foundations.errors import UsageError
from foundations.hparams import hp
from foundations.reporting import Reporter
from foundations.seeds import Seeds
from foundations.steps import Step
from lottery.branch import Branch, Ticket, branches
from models import ImageShape, ModelHparams, build
from models.registry import models
from pruning import (
    Batches,
    ChangingMask,
    Mask,
    PruningHparams,
    Strategy,
    check_strategy,
    make_dense,
    prunable,
    prune,
    strategies,
)
from pruning.compaction import compact
from pruning.graph import channel_graph
from stability.barrier import barrier
from stability.criteria import AlongTrunk, Answer, Criterion, Question, Seen, criteria
from stability.interpolation import Examples, Line, Meter, even_alphas, walk
from stability.verdict import Verdict
from training.data import DataHparams, Dataset, DeviceData, ImageFiles, TrainingData, datasets, load
from training.data.image_files import read_image_files
from training.hparams import TrainingHparams
from training.loop import evaluate, train
from training.optimizers import optimizers
from training.recipes import register as register_recipe
from training.schedules import schedules
from training.segments import load_network
from training.state import Noise, TrainState

__all__ = [
    "AlongTrunk", "Answer", "Batches", "Branch", "ChangingMask", "Check", "Criterion", "DataHparams", "Dataset",
    "DeviceData", "Examples", "Failed", "Failure", "Finished", "Grid", "ImageFiles", "ImageShape", "Line", "Mask",
    "Measurement", "Meter", "ModelHparams", "Noise", "Plan", "PruningHparams", "Question", "Reporter", "Seeds", "Seen",
    "Session", "Step", "StoredRun", "Strategy", "Subnetwork", "Task", "Ticket", "Tracker", "TrainState",
    "TrainingData", "TrainingHparams", "UsageError", "Verdict", "barrier", "branch_reports", "branches", "build",
    "channel_graph", "check_strategy", "checks", "compact", "criteria", "datasets", "engines", "evaluate",
    "even_alphas", "export_formats", "hp", "in_process", "load", "load_network", "make_dense", "make_plan",
    "measurements", "models", "open_run", "optimizers", "prunable", "prune", "read_image_files", "register_recipe",
    "schedules", "strategies", "trackers", "train", "walk",
]  # fmt: skip
