from pathlib import Path

import pytest
import torch

from foundations.context import Context
from foundations.environment import describe


@pytest.mark.parametrize(("cuda", "cudnn"), [("12.8", 91002), (None, None)])
def test_the_versions_of_cuda_and_cudnn_are_recorded(
    cuda: str | None, cudnn: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: cudnn)
    recorded = describe([], Context(root=tmp_path, data_dir=tmp_path), "fingerprint")
    assert (recorded["cuda"], recorded["cudnn"]) == (cuda, cudnn)
