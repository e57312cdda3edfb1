"""The trunk: the dense training that every pruning step, level and strategy reads, computed once."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from foundations.context import Context
from foundations.environment import verify_data
from foundations.errors import UsageError
from foundations.runner import begin, store_of
from foundations.seeds import Seeds
from foundations.steps import Step
from models import build
from training.compilation import check_compiler
from training.data import TrainingData
from training.desc import TrainDesc
from training.loop import slow_bf16, train
from training.segments import CHECKPOINT, advance_to, final_result
from training.state import Noise, TrainState


class Trunk:
    """The dense training of one replicate, extended as far as it is asked for.

    Its whole state is saved at every step that was asked for and on a grid, so that a state between two saves is
    recomputed from the one before. A lock sees to it that two processes do not train the same step twice.
    """

    def __init__(self, desc: TrainDesc, replicate: int, data: TrainingData, context: Context) -> None:
        self.desc, self.data, self.context = desc, data, context
        self.seeds = Seeds(replicate)
        self.store = store_of(desc, replicate, context)
        self.per_epoch = data.iterations_per_epoch
        self._read: set[int] = set()  # steps that were asked for, so that each is spoken of once
        self.end = desc.training.training_steps.iteration(self.per_epoch)
        check_compiler(desc.training)
        if (data.sizes["train"] - 1) % data.batch_size == 0:
            self._try_single_image()

    def fresh(self) -> TrainState:
        """The state at initialization."""
        model = build(self.desc.model, self.data.shape, self.seeds.generator("initialization"))
        return TrainState.fresh(model, self.desc.training, Noise(self.seeds), self.data.device)

    def state_at(self, step: Step) -> TrainState:
        """The state at ``step``, from disk or trained to.

        Raises:
            UsageError: if the trunk was trained on other data of the same name.
        """
        verify_data(self.store, self.data.fingerprint)
        iteration = self.iteration(step)
        if not self._saved(iteration):
            with self._at_work():
                if not self._saved(iteration):
                    self._reach(iteration)
        elif iteration not in self._read:
            say = self.context.reporter.say
            say(f"Trunk {self.desc.key}: read at {self._name(iteration)}; no step of it is trained again")
        self._read.add(iteration)
        return self._load(iteration)

    def finish(self) -> dict[str, Any]:
        """Trains to the end if need be; the final losses and accuracies."""
        verify_data(self.store, self.data.fingerprint)
        if not self.store.done:
            state = self.state_at(self.desc.training.training_steps)
            with self._at_work():
                self.store.finish(final_result(state, self.data, self.desc.training))
        return self.store.result()

    def iteration(self, step: Step) -> int:
        """The number of iterations up to ``step``."""
        return step.iteration(self.per_epoch)

    def examples_seen(self, iteration: int) -> int:
        """The number of training examples, repeats counted, in the first ``iteration`` batches."""
        epochs, batches = divmod(iteration, self.per_epoch)
        size = self.data.sizes["train"]
        return epochs * size + min(batches * self.data.batch_size, size)

    def model_path(self, step: Step) -> Path:
        """Where the network at a saved step lies."""
        return self.store / self._files(self.iteration(step))[0]

    def _try_single_image(self) -> None:
        """Raises ``UsageError`` if the network cannot be trained on the one image that ends each epoch.

        BatchNorm has no variance to divide by where its feature maps are single pixels.
        """
        image, _ = next(self.data.evaluation_batches("train", batch_size=1))
        try:
            with torch.random.fork_rng([]):
                self.fresh().model.train()(image)
        except ValueError as error:
            raise UsageError(
                f"--batch_size={self.data.batch_size}: the last batch of an epoch is a single image, and BatchNorm "
                f"cannot be trained on one in {self.desc.model.model}; choose another --batch_size"
            ) from error

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """Holds the trunk for this process, with the number of threads that it began with.

        The caller's number is put back afterwards: the branch that asked may have begun with another.
        """
        threads = torch.get_num_threads()
        with self.store.lock(self.context.reporter):
            try:
                begin(self.store, self.desc, self.context, self.data.fingerprint)
                yield
            finally:
                torch.set_num_threads(threads)

    def _reach(self, iteration: int) -> None:
        """Trains from the furthest state, or from the last save before ``iteration``."""
        if slow_bf16(self.desc.training, self.data.device):
            self.context.reporter.warn("--precision=bf16: this CPU has no such arithmetic; fp32 is many times faster")
        state, say = self._furthest(), self.context.reporter.say
        target = self._name(iteration)
        if state.iteration <= iteration:
            if state.iteration:
                say(
                    f"Trunk {self.desc.key}: going on from {self._name(state.iteration)} to {target}; "
                    "no earlier step is trained again"
                )
            else:
                say(f"Trunk {self.desc.key}: training to {target}")
            save_at = {step for step in self.grid() if state.iteration <= step <= iteration} | {iteration}
            advance_to(
                iteration, self.store, state, self.data, self.desc.training, self.context.reporter,
                save_at=save_at - set(self.saved_steps()), save=self._save,
            )  # fmt: skip
            return
        nearest = max((saved for saved in self.saved_steps() if saved < iteration), default=0)
        state = self._load(nearest) if nearest else self.fresh()
        say(f"Trunk {self.desc.key}: {target} was not saved; recomputing it from {self._name(nearest)}")
        train(state, self.data, self.desc.training, until=iteration)
        self._save(state)

    def _furthest(self) -> TrainState:
        """The state of the checkpoint or of the last save, whichever is further; a fresh one without both."""
        state = self.fresh()
        if self.store.has(CHECKPOINT):
            state.restore(self.store.read_state(CHECKPOINT))
        last = max(self.saved_steps(), default=0)
        return self._load(last) if last > state.iteration else state

    def grid(self) -> list[int]:
        """The iterations saved unasked: each of the first five epochs, then ever sparser, about 25 in 160 epochs."""
        epochs, epoch = [], 0
        while epoch * self.per_epoch < self.end:
            epochs.append(epoch)
            epoch = max(epoch + 1, round(epoch * 1.2)) if epoch >= 5 else epoch + 1
        return [epoch * self.per_epoch for epoch in epochs] + [self.end]

    def saved_steps(self) -> list[int]:
        """The iterations whose whole state lies on disk."""
        names = (re.fullmatch(r"optimizer_(\d+ep\d+it)\.pt", path.name) for path in self.store.path.glob("optimizer_*"))
        steps = sorted(Step(name[1]).iteration(self.per_epoch) for name in names if name)
        return [step for step in steps if self._saved(step)]

    def _name(self, iteration: int) -> str:
        return Step.at(iteration, self.per_epoch).short

    def _files(self, iteration: int) -> tuple[str, str]:
        step = Step.at(iteration, self.per_epoch)
        return f"model_{step}.safetensors", f"optimizer_{step}.pt"

    def _saved(self, iteration: int) -> bool:
        return all(self.store.has(name) for name in self._files(iteration))

    def _save(self, state: TrainState) -> None:
        model, optimizer = self._files(state.iteration)
        self.store.write_tensors(model, state.model.state_dict())
        self.store.write_state(optimizer, state.training_state())

    def _load(self, iteration: int) -> TrainState:
        state = self.fresh()
        model, optimizer = self._files(iteration)
        state.restore({**self.store.read_state(optimizer), "model": self.store.read_tensors(model)})
        return state
