"""The lottery-ticket experiment, level by level."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from foundations.context import Context
from foundations.environment import verify_data
from foundations.errors import UsageError
from foundations.runner import begin
from foundations.seeds import Seeds
from foundations.store import Store
from lottery.desc import LotteryDesc
from lottery.sparsity import sparsity_report, training_cost
from pruning import Mask, ignored_layers, prune
from training.data import DeviceData
from training.optimizers import make_optimizer
from training.segments import METRICS, model_file, train_branch
from training.trunk import Trunk

MASK, REPORT = "mask.safetensors", "sparsity_report.json"


class LotteryRunner:
    """Level 0 is the full network, that is, the trunk; level n keeps ``(1 - pruning_fraction) ** n`` of it.

    A strategy that scores at k prunes the trunk at k to the density of each level by itself. One that scores at the
    end prunes what the level before has become, so that its levels need those before them.
    """

    def __init__(
        self,
        desc: LotteryDesc,
        replicate: int,
        levels: Iterable[int],
        data: DeviceData,
        context: Context,
        allow_collapse: bool = False,
    ) -> None:
        self.desc, self.data, self.context = desc, data, context
        self.allow_collapse = allow_collapse
        self.seeds = Seeds(replicate)
        self.trunk = Trunk(desc.train, replicate, data, context)
        if self.trunk.iteration(desc.k) > self.trunk.end:
            raise UsageError(f"--k={desc.k.short}: beyond --training_steps={desc.train.training.training_steps.short}")
        wanted = set(levels)
        self.levels = sorted(wanted | set(range(max(wanted))) if desc.pruning.score_at == "end" else wanted)

    def run(self, store: Store) -> None:
        """Trains the levels that are not done yet."""
        verify_data(store, self.data.fingerprint)
        if all(store.sub(f"level_{level}").done for level in self.levels):
            self.context.reporter.say(f"All done before: {store.path}. Nothing was trained.")
            return
        with store.lock(self.context.reporter):
            begin(store, self.desc, self.context, self.data.fingerprint)
            for level in self.levels:
                if not store.sub(f"level_{level}").done:
                    self._run_level(store, level)

    def results(self, store: Store) -> list[dict[str, Any]]:
        """A row for each level: level, density, accuracies and losses, and where it lies."""
        return [store.sub(f"level_{level}").result() for level in self.levels]

    def _run_level(self, store: Store, level: int) -> None:
        here = store.sub(f"level_{level}")
        mask = self._mask(store, level)
        if level == 0:
            self._link_trunk(here, mask)
            return
        state = self.trunk.state_at(self.desc.k)
        if self.desc.reset_optimizer:
            state.optimizer = make_optimizer(self.desc.train.training, state.model)
        state.prune(mask)
        result = train_branch(here, state, self.data, self.desc.train.training, self.context.reporter)
        self._finish(here, level, mask, result, here / model_file(state, self.data))

    def _link_trunk(self, here: Store, mask: Mask) -> None:
        """Level 0 is the trunk: it is trained there, and only its metrics are repeated here."""
        result = self.trunk.finish()
        here.write_rows(METRICS, self.trunk.store.read_rows(METRICS))
        self._finish(here, 0, mask, result, self.trunk.model_path(self.desc.train.training.training_steps))

    def _finish(self, here: Store, level: int, mask: Mask, result: dict[str, Any], model: Path) -> None:
        """Marks a level as done; the path of its network is relative, so that a root can be moved."""
        model_path = os.path.relpath(model, here.path)
        here.finish({"level": level, "density": mask.density, **result, "model": model_path})

    # The mask ------------------------------------------------------------------------------------------------

    def _mask(self, store: Store, level: int) -> Mask:
        """The mask of a level, from disk or computed and written down with its report.

        Raises:
            UsageError: if no path is left from input to output, unless that is allowed.
        """
        here = store.sub(f"level_{level}")
        if not here.has(MASK):
            model, before = self._network_to_score(store, level)
            mask = self._prune(model, before, level) if level else Mask.ones(model)
            ignored = ignored_layers(model, self.desc.pruning.layers_to_ignore)
            report = sparsity_report(model, mask, self.data.shape, ignored)
            here.write_json(REPORT, report | {"training_multiply_adds": self._cost(store, level, report)})
            mask.save(here / MASK)
        self._look_for_collapse(here, level)
        return Mask.load(here / MASK)

    def _network_to_score(self, store: Store, level: int) -> tuple[nn.Module, Mask | None]:
        """The network that is scored for a level, and the mask that the level's starts from."""
        if level == 0:
            return self.trunk.fresh().model, None
        if self.desc.pruning.score_at == "k":
            return self.trunk.state_at(self.desc.k).model, None
        if level == 1:
            self.trunk.finish()
            return self.trunk.state_at(self.desc.train.training.training_steps).model, None
        before = store.sub(f"level_{level - 1}")
        state = self.trunk.fresh()
        state.model.load_state_dict(before.read_tensors(Path(before.result()["model"]).name))
        return state.model, Mask.load(before / MASK)

    def _prune(self, model: nn.Module, before: Mask | None, level: int) -> Mask:
        pruning = self.desc.pruning
        batches = self.data.pruning_batches(
            pruning.pruning_batches,
            self.desc.train.data.batch_size,
            self.seeds.generator("pruning batches"),
            pruning.pruning_balanced,
        )
        self.context.reporter.say(
            f"Level {level}: pruning with {self.desc.strategy.name} to {self.desc.density(level):.4%} of the weights"
        )
        return prune(
            self.desc.strategy, model, batches, pruning, self.desc.density(level),
            self.seeds.generator("pruning", level), before, self.context.reporter,
        )  # fmt: skip

    def _cost(self, store: Store, level: int, report: dict[str, Any]) -> dict[str, int]:
        """Multiply-adds of the training that the level stands for."""
        examples = self.trunk.examples_seen(self.trunk.iteration(self.desc.k))
        total = self.trunk.examples_seen(self.trunk.end)
        found_by = 0
        if level and self.desc.pruning.score_at == "end":
            before = [store.sub(f"level_{lower}").read_json(REPORT) for lower in range(level)]
            found_by = sum(lower["training_multiply_adds"]["subnetwork"] for lower in before)
            found_by += before[0]["training_multiply_adds"]["pretraining"]
        return training_cost(report, before_k=examples, after_k=total - examples, found_by=found_by)

    def _look_for_collapse(self, here: Store, level: int) -> None:
        report = here.read_json(REPORT)
        empty = ", ".join(report["empty_layers"])
        if not report["has_path"] and not self.allow_collapse:
            raise UsageError(
                f"Level {level}: {self.desc.strategy.name} leaves no path from input to output "
                f"(empty: {empty or 'no layer'}); see {here / REPORT}.\n"
                "Keep more weights, or train it all the same with --allow_collapse."
            )
        if empty:
            self.context.reporter.warn(f"Level {level}: no weight is left in {empty}")
