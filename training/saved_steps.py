"""Which whole states of a trunk lie on disk, and how they are written and read."""

from dataclasses import dataclass

from foundations import files
from foundations.steps import Step
from foundations.store import Store
from training.state import TrainState


@dataclass(frozen=True)
class SavedSteps:
    """A trunk's saved states: each is a file of the network and one of the optimizer.

    Args:
        store: the trunk's directory.
        per_epoch: iterations of an epoch, by which the files are named.
    """

    store: Store
    per_epoch: int

    def has(self, iteration: int) -> bool:
        return all(map(self.store.has, self.files(iteration)))

    def iterations(self) -> list[int]:
        """Return all iterations whose whole state lies on disk, in order."""
        found = filter(None, (files.step_of_optimizer(path.name) for path in self.store.path.glob("*")))
        steps = sorted(step.iteration(self.per_epoch) for step in found)
        return [step for step in steps if self.has(step)]

    def files(self, iteration: int) -> tuple[str, str]:
        """Return the names of the files of the network and of the optimizer at ``iteration``."""
        step = Step.at(iteration, self.per_epoch)
        return files.model(step), files.optimizer(step)

    def save(self, state: TrainState) -> None:
        """Write the state at its iteration."""
        model, optimizer = self.files(state.iteration)
        self.store.write_tensors(model, state.model.state_dict())
        self.store.write_state(optimizer, state.training_state())

    def load(self, iteration: int, into: TrainState) -> TrainState:
        """Make ``into`` the state at ``iteration``, and return it.

        Raises:
            UsageError: a file, which it names, is missing or damaged, or its content is not that of this network.
        """
        model, optimizer = self.files(iteration)
        with self.store.intact(model):
            tensors = self.store.read_tensors(model)
            into.check(tensors)
        with self.store.intact(optimizer):
            into.restore({**self.store.read_state(optimizer), "model": tensors})
            if into.iteration != iteration:
                raise ValueError(f"it is the state after {into.iteration} iterations")
        return into


def grid(end: int, per_epoch: int) -> list[int]:
    """Return the iterations saved unasked: each of the first five epochs, then ever sparser, about 25 in 160 epochs."""
    epochs, epoch = [], 0
    while epoch * per_epoch < end:
        epochs.append(epoch)
        epoch = max(epoch + 1, round(epoch * 1.2)) if epoch >= 5 else epoch + 1
    return [epoch * per_epoch for epoch in epochs] + [end]
