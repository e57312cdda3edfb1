"""The trunk: the dense training that every pruning step, level and strategy reads, computed once."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foundations import files
from foundations.context import Context
from foundations.desc import Desc
from foundations.environment import device_name, verify
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.provenance import plugins_of
from foundations.run import begin, store_of
from foundations.seeds import Seeds
from foundations.steps import Step
from foundations.store import Store
from models import ModelHparams, build, of_library, parse, trained_weights
from training.arithmetic import check_compiler, emulates_bf16, is_kept_contiguous, keep_contiguous
from training.data import TrainingData
from training.distributed import check_shares
from training.hparams import TrainDesc
from training.imported import find_imported
from training.loop import train
from training.metrics import Evaluations, history, known
from training.saved_steps import SavedSteps, grid
from training.segments import advance_to, final_result, resume
from training.state import Noise, TrainState
from training.trial import try_evaluation, try_training


def describe_network(model: ModelHparams, data: TrainingData) -> dict[str, Any]:
    """Return architecture, shape of the images, names of the classes, and the normalization of the inputs.

    ``input_shape`` is (channels, height, width); ``normalization`` has ``mean`` and ``std`` of each channel, by which
    a network's inputs are (pixel - mean) / std, of pixels in [0, 1].
    """
    shape = data.shape
    return {
        "model": model.to_dict(),
        "input_shape": [shape.channels, shape.height, shape.width],
        "class_names": list(data.class_names),
        "normalization": {name: list(values) for name, values in data.normalization.items()},
    }


class Trunk:
    """The dense training of one replicate, extended as far as it is asked for.

    Its whole state is saved at every step that was asked for and on a grid, so that a state between two saves is
    recomputed from the one before. A lock keeps two processes from training the same step twice.
    """

    def __init__(self, desc: TrainDesc, replicate: int, data: TrainingData, context: Context) -> None:
        self.desc, self.data, self.context = desc, data, context
        self.seeds = Seeds(replicate)
        self.store = store_of(desc, replicate, context)
        self.per_epoch = data.iterations_per_epoch
        self._read: set[int] = set()  # steps that were asked for, so that each is spoken of once
        self.imported = find_imported(context.root, desc.imported) if desc.imported else None
        self.end = desc.training.training_steps.iteration(self.per_epoch)
        self.start = 0 if self.imported is None else self.iteration(self.imported.desc.step)
        if self.imported is not None:
            self.imported.check(desc)
            self.refuse_after_end("step", self.imported.desc.step)
        check_compiler(desc.training)
        check_shares(desc.training, data)
        self._contiguous = False
        if of_library(desc.model.model) or plugins_of([parse(desc.model.model)[1]]):
            self._try_out()
        if (data.sizes["train"] - 1) % data.batch_size == 0:
            self._try_single_image()

    def fresh(self) -> TrainState:
        """Return the state at the start: at initialization, or that of an imported network with a fresh optimizer."""
        model = self.network(self.seeds.generator("initialization"))
        if self.imported is not None:
            self.imported.load_into(model)
        state = TrainState.fresh(
            model, self.desc.training, Noise(self.seeds), self.data.device, capture=self.context.cuda_graphs
        )
        state.iteration, state.tried_out = self.start, True
        return state

    def network(self, generator: torch.Generator) -> nn.Module:
        """Return the network that is trained, initialized from ``generator``."""
        model = build(self.desc.model, self.data.shape, generator)
        if self._contiguous:
            keep_contiguous(model)
        return model

    def refuse_after_end(self, flag: str, step: Step) -> None:
        """Raise ``UsageError`` if ``--flag=step`` comes after the end of this training."""
        if self.iteration(step) > self.end:
            end = self.desc.training.training_steps.short
            raise UsageError(f"--{flag}={step.short}: beyond --training_steps={end}")

    def check_step(self, flag: str, step: Step) -> None:
        """Raise ``UsageError`` if this training does not come by ``--flag=step``: not after its end, nor, of an
        imported network, before its start."""
        self.refuse_after_end(flag, step)
        if self.iteration(step) < self.start:
            raise UsageError(f"--{flag}={step.short}: {self.desc.imported} begins at {self._name(self.start)}")

    @property
    def saved(self) -> SavedSteps:
        return SavedSteps(self.store, self.per_epoch)

    def has(self, step: Step) -> bool:
        """Return whether the whole state at ``step`` lies on disk; waits for nobody."""
        return self.saved.has(self.iteration(step))

    def reach(self, step: Step) -> None:
        """Train to ``step`` and save the state there, if it is not saved yet.

        While another process trains the trunk, it is waited for until that state is saved, however far it goes on.

        Raises:
            UsageError: if the trunk was trained on other data of the same name.
        """
        verify(self.store, self.desc.code(), self.context, self.data.fingerprint)
        self.check_step("k", step)
        iteration = self.iteration(step)
        trained = False
        if not self.has(step):
            with self._at_work(unless=lambda: self.has(step)) as alone:
                if trained := alone and not self.has(step):
                    self._train_to(iteration)
        if not trained and iteration not in {*self._read, self.start}:
            self.context.reporter.say(f"Trunk {self.desc.key}: read at {self._name(iteration)}, trained before")
        self._read.add(iteration)

    def state_at(self, step: Step) -> TrainState:
        """Return the state at ``step``, from disk or trained to; raises as :meth:`reach` does."""
        self.reach(step)
        return self.saved.load(self.iteration(step), into=self.fresh())

    def finish(self) -> dict[str, Any]:
        """Train to the end if need be; return the final losses and accuracies."""
        verify(self.store, self.desc.code(), self.context, self.data.fingerprint)
        if not self.store.done:
            state = self.state_at(self.desc.training.training_steps)
            with self._at_work(unless=lambda: self.store.done):
                if not self.store.done:
                    rows = self.metrics()  # lost, they are restored
                    result = final_result(state, self.data, self.desc.training, rows)
                    self.store.finish(result, files.METRICS, *self.saved.files(self.end))
        return self.store.result()

    def metrics(self) -> list[Row]:
        """Return the rows of its metrics, once it is finished; restored if the file lacks some."""
        return history(self.store, self._evaluations, self.end, self.context.reporter)

    def iteration(self, step: Step) -> int:
        return step.iteration(self.per_epoch)

    def examples_seen(self, iteration: int) -> int:
        """Return the number of training examples, repeats counted, in the first ``iteration`` batches."""
        epochs, batches = divmod(iteration, self.per_epoch)
        size = self.data.sizes["train"]
        return epochs * size + min(batches * self.data.batch_size, size)

    def model_path(self, step: Step) -> Path:
        return self.store / files.model(Step.at(self.iteration(step), self.per_epoch))

    def grid(self) -> list[int]:
        return [self.start, *(step for step in grid(self.end, self.per_epoch) if step > self.start)]

    def begin(self, store: Store, desc: Desc) -> None:
        """Begin a run that stands on this training, or go on with it; raises like ``foundations.run.begin``."""
        network = describe_network(self.desc.model, self.data)
        begin(store, desc, self.context, self.data.fingerprint, network)

    def saved_steps(self) -> list[int]:
        return self.saved.iterations()

    def _try_out(self) -> None:
        """Raise ``UsageError`` unless the network can be copied, trained and evaluated on these images."""
        named = f"--model={self.desc.model.model}"
        model = self.network(self.seeds.generator("initialization")).to(self.data.device)
        try_evaluation(model, try_training(model, self.data, named), self.data.shape.classes, named)
        if (trained := trained_weights(self.desc.model, self.data.shape)) and trained not in self.context.reported:
            self.context.reported.add(trained)
            self.context.reporter.say(trained)
        self._contiguous = is_kept_contiguous(model)
        if self._contiguous and (said := (self.desc.key, "memory format")) not in self.context.reported:
            self.context.reported.add(said)
            self.context.reporter.say(
                f"{named} fails on channels-last images (does it call view()?); it trains in plain memory order"
            )

    def _try_single_image(self) -> None:
        """Raise ``UsageError`` if the network cannot be trained on the one image that ends each epoch.

        BatchNorm has no variance to divide by where its feature maps are single pixels.
        """
        try:
            images, _ = next(self.data.evaluation_batches("train", batch_size=1, limit=1))
            with torch.random.fork_rng([]):
                self.fresh().model.train()(images)
        except ValueError as error:
            raise UsageError(
                f"--batch_size={self.data.batch_size}: the last batch of an epoch is a single image, and BatchNorm "
                f"cannot be trained on one in {self.desc.model.model}; choose another --batch_size"
            ) from error

    @contextlib.contextmanager
    def _at_work(self, unless: Callable[[], bool]) -> Iterator[bool]:
        """Hold the trunk for this process, with the number of threads that it began with; yields whether it does.

        It does not where another process held it until ``unless`` came true. The caller's number of threads is put
        back afterwards: the branch that asked may have begun with another.
        """
        threads = torch.get_num_threads()
        with self.store.lock(self.context.reporter, unless) as held:
            try:
                if held:
                    self.begin(self.store, self.desc)
                yield held
            finally:
                torch.set_num_threads(threads)

    def _train_to(self, iteration: int) -> None:
        """Train from the furthest state, or from the last save before ``iteration``."""
        if self.desc.training.precision == "bf16" and emulates_bf16(self.data.device):
            name = device_name(self.data.device)
            self.context.reporter.warn(f"--precision=bf16: this machine's {name} only emulates it; fp32 is faster")
        state, say = self._furthest(), self.context.reporter.say
        target = self._name(iteration)
        if state.iteration <= iteration:
            if state.iteration > self.start:
                say(
                    f"Trunk {self.desc.key}: going on from {self._name(state.iteration)} to {target}; "
                    "no earlier step is trained again"
                )
            else:
                say(f"Trunk {self.desc.key}: training to {target}")
            save_at = {step for step in self.grid() if state.iteration <= step <= iteration} | {iteration}
            advance_to(
                iteration, self.store, state, self.data, self.desc.training, self.context, start=self.start,
                save_at=save_at - set(self.saved_steps()), save=self.saved.save,
            )  # fmt: skip
            return
        nearest = max((saved for saved in self.saved_steps() if saved < iteration), default=self.start)
        state = self.saved.load(nearest, into=self.fresh()) if nearest > self.start else self.fresh()
        say(f"Trunk {self.desc.key}: {target} was not saved; recomputing it from {self._name(nearest)}")
        train(state, self.data, self.desc.training, until=iteration)
        self.saved.save(state)

    def _furthest(self) -> TrainState:
        """Return the furthest state, checkpoint or save, whose metrics are known; a fresh one where there is none.

        A save may be further than the checkpoint, which is written only every few seconds.
        """
        state = self.fresh()
        if self.store.has(files.CHECKPOINT):
            resume(self.store, state, self.start, self.end)
        for saved in reversed(self.saved_steps()):
            if saved <= state.iteration:
                break
            if known(self.store, self._evaluations, saved) is not None:
                return self.saved.load(saved, into=self.fresh())
            self.context.reporter.warn(
                f"{self.store / files.METRICS} lacks epochs before {self._name(saved)}, which are in no checkpoint; "
                "they are trained again"
            )
        return state

    @property
    def _evaluations(self) -> Evaluations:
        return Evaluations(self.start, self.end, self.context.evaluate_every.iteration(self.per_epoch))

    def _name(self, iteration: int) -> str:
        return Step.at(iteration, self.per_epoch).short
