"""The dense training as a run of its own."""

from foundations.context import Context
from foundations.store import Store
from training.data import TrainingData
from training.desc import TrainDesc
from training.trunk import Trunk


class TrainRunner:
    """Trains the full network to the end: the trunk that other runs share."""

    def __init__(self, desc: TrainDesc, replicate: int, data: TrainingData, context: Context) -> None:
        self.desc, self.context = desc, context
        self.trunk = Trunk(desc, replicate, data, context)

    def run(self, store: Store) -> None:
        """Trains what is not trained yet."""
        if store.done:
            self.context.reporter.say(f"Done before: {store.path}. Nothing was trained.")
        self.trunk.finish()
