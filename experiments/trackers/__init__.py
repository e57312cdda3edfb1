"""What shows metrics elsewhere: TensorBoard, Weights & Biases, or what a plug-in brings.

    @trackers.register("my_tracker")
    class MyTracker(Tracker):
        def row(self, row): ...
"""

from experiments.trackers import tensorboard, wandb  # noqa: F401  they register themselves
from experiments.trackers.registry import TrackedRun, Tracker, trackers
from experiments.trackers.reporter import TrackingReporter, check_trackers

__all__ = ["TrackedRun", "Tracker", "TrackingReporter", "check_trackers", "trackers"]
