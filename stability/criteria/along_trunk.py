"""Criteria that look at the dense training as it goes on, and train nothing else."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from foundations import files
from foundations.errors import UsageError
from foundations.hparams import hp
from foundations.provenance import plugins_of
from foundations.steps import Step
from foundations.store import Store
from lottery.masks import find_mask
from pruning import Mask, ignored_layers
from stability import AnalysisAtK
from stability.criteria.criterion import Answer, Criterion, Question, last_iteration

Bits = tuple[NDArray[np.uint8], int]
"""Eight weights a byte, and the number of weights."""


def packed(mask: Mask) -> Bits:
    flat = torch.cat([entry.flatten() for entry in mask.values()])
    return np.packbits(flat.cpu().numpy()), flat.numel()


def distance(one: Bits, other: Bits) -> float:
    """Return the share of bits in which two masks differ."""
    return int(np.unpackbits(one[0] ^ other[0]).sum()) / one[1]


def mask_distance(one: Mask, other: Mask) -> float:
    """Return the normalized Hamming distance: the share of the weights that only one of two masks keeps."""
    return distance(packed(one), packed(other))


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a criterion saw at a step of the dense training.

    Args:
        value: what has to become small; None as long as too little was seen.
        threshold: how small; None as long as that is not known.
        more: other numbers that ``curve.json`` keeps.
    """

    value: float | None = None
    threshold: float | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return self.value is not None and self.threshold is not None and self.value <= self.threshold


class Walk:
    """The dense training at the steps that a criterion looks at. A network is trained to when it is asked for."""

    def __init__(self, runner: AnalysisAtK) -> None:
        self.trunk, self.desc, self.store = runner.trunk, runner.desc, runner.store
        self._masks: dict[Step, Bits] = {}

    def network(self, step: Step) -> nn.Module:
        return self.trunk.state_at(step).model

    def mask(self, step: Step) -> Bits:
        """Return what the strategy keeps at a step, without ignored layers; from disk, or found and kept."""
        if step not in self._masks:
            self._masks[step] = packed(self._mask(step))
        return self._masks[step]

    def _mask(self, step: Step) -> Mask:
        strategy, pruning = self.desc.strategy, self.desc.pruning
        assert strategy is not None, "see AlongTrunk.check"
        assert pruning is not None
        here, name = self.store.sub(files.MASKS), files.mask_at(step)
        if not here.has(name):
            find_mask(self.trunk, strategy, pruning, self.network(step), self.desc.density).save(here / name)
        return Mask.load(here / name, self._fresh).without(ignored_layers(self._fresh, pruning.layers_to_ignore))

    @cached_property
    def _fresh(self) -> nn.Module:
        return self.trunk.fresh().model


@dataclass(frozen=True, kw_only=True)
class AlongTrunk(Criterion):
    """Looks at the dense training every so many steps until something has become small enough: that step is k."""

    analyses = False

    k_every: Step = hp(Step("1ep"))
    """Look at the dense training each so many steps; its state is saved there."""

    @abstractmethod
    def look(self, walk: Walk, steps: Sequence[Step], before: Sequence[Seen]) -> Seen:
        """Return what there is to see at a step.

        Args:
            walk: gives the networks and masks of steps.
            steps: those looked at so far, the new one last.
            before: what was seen at the others.
        """

    def check(self, runner: AnalysisAtK, max_k: Step | None) -> None:
        if self.k_every == Step(0):
            raise UsageError("--k_every=0ep: expected at least one step, such as 1ep or 100it")
        self.limit(runner, max_k)

    def find(self, question: Question) -> Answer:
        say = question.reporter.say
        curve = question.follow(self)
        last, masks = curve["points"][-1], sum("masks" in point for point in curve["points"])
        if curve["k"] is None:
            say(f"--k={self.name}: {ended(last)} at {Step(last['k']).short}; no k up to there")
            return Answer(None, trained_to=Step(last["k"]), masks=masks)
        k = Step(curve["k"])
        say(f"--k={self.name}: {ended(last)} at {k.short}")
        return Answer(k, masks=masks)

    def walk(self, walk: Walk, limit: int) -> dict[str, Any]:
        """Return ``curve.json``: go along the trunk until the criterion is met or the iteration ``limit`` is passed."""
        per_epoch = walk.trunk.per_epoch
        every = self.k_every.iteration(per_epoch)
        steps: list[Step] = []
        seen: list[Seen] = []
        for iteration in range(every, limit + 1, every):
            steps.append(Step.at(iteration, per_epoch))
            seen.append(self.look(walk, steps, seen))
            if seen[-1].met:
                break
        points = [
            {"k": str(step), "epoch": step.iteration(per_epoch) / per_epoch, "value": one.value,
             "threshold": one.threshold, **one.more}
            for step, one in zip(steps, seen, strict=True)
        ]  # fmt: skip
        found = str(steps[-1]) if seen and seen[-1].met else None
        about = {"criterion": self.name, "settings": self.to_dict(), "source": self.source}
        return {**about, "k": found, "limit": limit, "points": points}

    @property
    def source(self) -> list[str | None]:
        return [plugin.sha256 for plugin in plugins_of([type(self)])]

    def answered(self, here: Store, limit: int, per_epoch: int) -> bool:
        """Return whether the curve in ``here`` says what would be found up to the iteration ``limit``."""
        if not here.has(files.CURVE):
            return False
        curve = here.read_json(files.CURVE)
        if curve["source"] != self.source:
            return False
        return bool(curve["limit"] == limit if curve["k"] is None else Step(curve["k"]).iteration(per_epoch) <= limit)

    def limit(self, runner: AnalysisAtK, max_k: Step | None) -> int:
        """Return the last iteration at which is looked: ``max_k``, or the last one before the end.

        Raises:
            UsageError: that is beyond the end, or before the first step to look at.
        """
        trunk = runner.trunk
        limit = last_iteration(trunk, max_k, trunk.end - 1)
        if self.k_every.iteration(trunk.per_epoch) > limit:
            at = Step.at(limit, trunk.per_epoch).short
            raise UsageError(f"--k={self.name}: --k_every={self.k_every.short} has no step up to {at} to look at")
        return limit


def ended(point: Mapping[str, Any]) -> str:
    value, threshold = (point[name] for name in ("value", "threshold"))
    if value is None or threshold is None:
        return "too few steps were looked at"
    return f"{value:.4g} {'<=' if value <= threshold else '>'} {threshold:.4g}"
