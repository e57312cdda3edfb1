"""Where and how a run is computed: everything that is not part of its key."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from foundations.interruption import Interruption, installed
from foundations.reporting import Reporter
from foundations.steps import Step


@dataclass(frozen=True, kw_only=True)
class Context:
    """Handed down from the command line to whatever trains."""

    root: Path
    """Directory of all runs."""
    data_dir: Path
    """Directory of the data sets."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    deterministic: bool = False
    """Whether CUDA must give the same bits each time."""
    cuda_graphs: bool = True
    """Whether training steps on CUDA may be captured and replayed."""
    allow_divergence: bool = False
    """Whether a training goes on once its loss is no longer finite."""
    evaluate_every: Step = Step("1ep")
    """How often a training evaluates the test set."""
    clock: Callable[[], float] = field(default=time.monotonic, compare=False, repr=False)
    """Seconds that never go back; it says when a checkpoint is due."""
    reporter: Reporter = field(default_factory=Reporter)
    interruption: Interruption = field(default_factory=installed, compare=False, repr=False)
    """Asked between steps whether to stop."""
    command: tuple[str, ...] = ()
    """The command line, for ``environment.json``."""
    reported: set[Hashable] = field(default_factory=set, compare=False, repr=False)
    """Directories of which it was said that a changed program computed them, so that it is said once."""
