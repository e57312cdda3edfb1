"""AdSynFlow's public face: everything that other people's programs import.

    from adsynflow import Session

Experiments as the command line has them, as objects: :class:`Session`. The parts below it stand on their own, for any
``nn.Module`` and any training loop: :func:`prune` and :class:`Mask`; :class:`TrainState` and :func:`train`;
:class:`Line` and :func:`walk`. See docs/python.md.
"""

from experiments.engines import Engine, Failed, Failure, engines
from experiments.experiment import Experiment
from experiments.grid import Grid
from experiments.plan import Plan, make_plan
from experiments.session import Session
from experiments.stable_k import Answer, Question, criteria
from experiments.stored import StoredRun, open_run
from experiments.tasks import Task
from foundations.context import Context
from foundations.errors import UsageError
from foundations.hparams import hp
from foundations.reporting import Reporter
from foundations.seeds import Seeds
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc
from lottery.branch import Branch, Ticket, branches
from models import ModelHparams, build
from models.registry import models
from models.shape import ImageShape
from pruning import (
    Batches,
    Mask,
    PruningHparams,
    Strategy,
    channel_graph,
    check_strategy,
    prunable,
    prune,
    strategies,
)
from pruning.compaction import compact
from stability import AnalysisHparams, StabilityDesc
from stability.interpolation import Line, Meter, walk
from stability.verdict import Verdict
from training.data import DataHparams, Dataset, DeviceData, TrainingData, datasets
from training.desc import TrainDesc
from training.hparams import TrainingHparams
from training.loop import evaluate, train
from training.recipes import recipes
from training.state import TrainState
from training.trunk import Trunk

__all__ = []
