"""What a run was computed with, and in how many environments."""

from pathlib import Path
from typing import Any

import pytest
import torch

from foundations import environment
from foundations.context import Context
from foundations.environment import changes_between, cpu, describe, settle
from foundations.store import Store


@pytest.mark.parametrize(("cuda", "cudnn"), [("12.8", 91002), (None, None)])
def test_the_versions_of_cuda_and_cudnn_are_recorded(
    cuda: str | None, cudnn: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: cudnn)
    recorded = describe([], Context(root=tmp_path, data_dir=tmp_path), "fingerprint")
    assert (recorded["cuda"], recorded["cudnn"]) == (cuda, cudnn)


FIRST = {
    "packages": {"torch": "2.12.0", "numpy": "2.0"}, "cuda": None, "device": "cpu", "cpu": "Old, AVX2", "threads": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("now", "changes"),
    [
        (FIRST, []),
        ({**FIRST, "packages": {"torch": "2.13.0", "numpy": "2.0"}}, ["torch: 2.12.0 -> 2.13.0"]),
        ({**FIRST, "device": "mps", "cpu": "New"}, ["device: cpu -> mps", "cpu: Old, AVX2 -> New"]),
        ({**FIRST, "threads": 2, "cudnn": 91002}, []),  # a run keeps its threads; cuDNN was not recorded
    ],
)
def test_what_changes_between_environments(now: dict[str, Any], changes: list[str]) -> None:
    assert changes_between(FIRST, now) == changes


def test_a_run_that_goes_on_elsewhere_says_so_once_and_records_it(
    tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, context = Store(tmp_path / "run"), Context(root=tmp_path, data_dir=tmp_path, reporter=listener)
    settle(store, [], context, "fingerprint")
    first = store.read_json("environment.json")
    measured = {"test_loss": 1.0, "test_accuracy": 0.5}
    rows = [{"step": f"{epoch}ep0it", "iteration": 5 * epoch, **measured} for epoch in range(3)]
    store.write_rows("metrics.jsonl", rows)
    store.sub("level_1").write_rows("metrics.jsonl", rows[:2])
    monkeypatch.setattr(environment, "cpu", lambda: "Another, AVX512")
    settle(store, [], context, "fingerprint")
    settle(store, [], context, "fingerprint")
    (warning,) = listener.warned
    assert "goes on in another environment" in warning
    assert "-> Another, AVX512" in warning
    recorded = store.read_json("environment.json")
    (later,) = recorded.pop("later")
    assert recorded == first
    assert later["reached"] == {".": "2ep0it", "level_1": "1ep0it"}
    assert later["cpu"] == "Another, AVX512"
    assert (store / "environment.json").read_bytes() == (store / "environment.json.copy").read_bytes()


def test_the_processor_has_a_name() -> None:
    assert cpu().rpartition(", ")[0]
