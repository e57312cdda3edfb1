"""A network that trains at its true size, and the way back to the full one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn, optim

from pruning import Mask
from pruning.compaction import compact
from training.optimizers import parameter_names


class Compaction:
    """A masked network in training without the channels that cannot matter, and what was taken out of it.

    Kept weights that lead into a removed channel, and its bias and BatchNorm's parameters, go on as in masked
    training: their gradient is zero, so that weight decay and momentum alone move them. The next level of iterative
    pruning compares their magnitudes with those of all others. They are further parameters of the small network's
    optimizer, one vector for each parameter of the full network, and belong to the same parameter group as that.
    Everything else outside the small network stays as it was: BatchNorm's statistics, and the optimizer's state of
    pruned weights, which have a gradient in masked training (it is the mask that keeps them zero).
    """

    def __init__(self, model: nn.Module, mask: Mask, optimizer: optim.Optimizer, example: Tensor | None = None) -> None:
        self.mask = mask
        self.places = compact(model, mask, example=example)
        self.optimizer_state = optimizer.state_dict()
        self.names = parameter_names(optimizer, model)
        removed, tensors = self.places.removed, self.places.snapshot
        self.removed = {name: nn.Parameter(tensors[name][removed[name]]) for name in self.names if name in removed}
        # Optimizers number their parameters. Here what was taken out of parameter n has the number n + len(names).
        self.numbers = {number + len(self.names): name for number, name in enumerate(self.names) if name in removed}
        self.full_groups = [list(group["params"]) for group in self.optimizer_state["param_groups"]]
        self.groups = [
            [*numbers, *(shifted for shifted in self.numbers if shifted - len(self.names) in numbers)]
            for numbers in self.full_groups
        ]

    # Training it ---------------------------------------------------------------------------------------------

    def join(self, optimizer: optim.Optimizer) -> None:
        """Give what was taken out to the optimizer of the small network, whose every step it takes part in."""
        for group, numbers in zip(optimizer.param_groups, self.groups, strict=True):
            group["params"] += [self.removed[self.numbers[number]] for number in numbers if number in self.numbers]
        if not self.removed:
            return
        gradients = [torch.zeros_like(vector, requires_grad=False) for vector in self.removed.values()]

        def set_gradients(*_: object) -> None:
            torch._foreach_zero_(gradients)  # some optimizers write to gradients
            for vector, gradient in zip(self.removed.values(), gradients, strict=True):
                vector.grad = gradient

        optimizer.register_step_pre_hook(set_gradients)

    # There ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def shrink(self, full: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the small network's part of the full network's tensors; what was taken out takes its own."""
        for name, vector in self.removed.items():
            vector.copy_(full[name][self.places.removed[name]])
        return self.places.shrink(full)

    def shrink_optimizer(self, full: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state for the optimizer that :meth:`join` was called with, from one of the full network's."""
        small = self.places.shrink_optimizer(full, self.names)
        for shifted, name in self.numbers.items():
            if entries := full["state"].get(shifted - len(self.names)):
                small["state"][shifted] = {key: self._part(name, value) for key, value in entries.items()}
        return {**small, "param_groups": numbered(small["param_groups"], self.groups)}

    def _part(self, name: str, value: Any) -> Any:
        if isinstance(value, Tensor):
            is_by_weight = value.shape == self.places.snapshot[name].shape
            return value[self.places.removed[name]] if is_by_weight else value.clone()
        return value

    # And back ------------------------------------------------------------------------------------------------

    def expand(self, small: Mapping[str, Tensor]) -> dict[str, Tensor]:
        snapshot = dict(self.places.snapshot)
        for name, vector in self.removed.items():
            snapshot[name] = self._with_part(name, snapshot[name], vector.detach())
        return self.places.expand(small, snapshot)

    def expand_optimizer(self, optimizer: optim.Optimizer) -> dict[str, Any]:
        packed = optimizer.state_dict()
        order = [number for group in self.groups for number in group]
        state = {order[place]: entries for place, entries in packed["state"].items()}
        small = {
            "state": {number: state[number] for number in sorted(state) if number not in self.numbers},
            "param_groups": numbered(packed["param_groups"], self.full_groups),
        }
        outside = {number: dict(entries) for number, entries in self.optimizer_state["state"].items()}
        for shifted, name in self.numbers.items():
            before = outside.setdefault(shifted - len(self.names), {})
            for key, value in state.get(shifted, {}).items():
                if isinstance(value, Tensor) and value.shape == self.removed[name].shape:
                    original = before.get(key, torch.zeros_like(self.places.snapshot[name], dtype=value.dtype))
                    before[key] = self._with_part(name, original, value)
        return self.places.expand_optimizer(small, {"state": outside}, self.names)

    def _with_part(self, name: str, full: Tensor, part: Tensor) -> Tensor:
        full = full.to(part.device, copy=True)
        full[self.places.removed[name]] = part
        return full


def numbered(groups: list[dict[str, Any]], numbers: list[list[int]]) -> list[dict[str, Any]]:
    return [{**group, "params": list(ids)} for group, ids in zip(groups, numbers, strict=True)]
