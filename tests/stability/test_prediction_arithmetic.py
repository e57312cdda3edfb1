"""What children answer is computed in the arithmetic that was asked for. A CPU has PyTorch's switches of TF32, too."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stability import AnalysisAtK, StabilityDesc, comparison

Switches = tuple[bool, bool, bool]


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("fp32", (False, False, False)), ("tf32", (True, True, False)), ("bf16", (False, False, True))],
)
def test_predictions_are_computed_as_asked_for(
    precision: str,
    expected: Switches,
    tmp_path: Path,
    make_runner: Callable[..., AnalysisAtK],
    full: StabilityDesc,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Switches] = []
    real = comparison.outputs

    def outputs(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        def look(*_: object) -> None:
            backends = torch.backends
            seen.append((backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32, torch.is_autocast_enabled("cpu")))

        with model.register_forward_pre_hook(look):
            return real(model, batches)

    monkeypatch.setattr(comparison, "outputs", outputs)
    training = replace(full.train.training, precision=precision)
    make_runner(tmp_path, replace(full, train=replace(full.train, training=training))).compare()
    assert set(seen) == {expected}
