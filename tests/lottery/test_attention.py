"""A network with attention as a lottery ticket, from the command line."""

import json

import pytest

from models import models
from tests.pruning.attention import IN_PROJECTION, tiny_vit

FLAGS = ("--model=tiny_vit", "--dataset=digits", "--subsample_fraction=0.1", "--training_steps=3it", "--k=1it")


@pytest.fixture(autouse=True)
def registered() -> None:
    @models.register("tiny_vit")
    def build(shape):
        model = tiny_vit()
        model.fc = type(model.fc)(model.fc.in_features, shape.classes)
        return model


def test_its_packed_weights_are_pruned_and_what_stays_dense_is_said_once(command, tmp_path) -> None:
    outcome = command(
        "lottery", *FLAGS, "--pruning_strategy=grasp,adsynflow", "--density=0.5", "--pruning_iterations=3",
        f"--root={tmp_path}",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    said = "128 weights are not prunable and stay dense: position"
    assert outcome.err.count(said) == 1
    reports = [json.loads(path.read_text()) for path in tmp_path.rglob("sparsity_report.json")]
    assert len(reports) == 2
    for report in reports:
        [packed] = [layer for layer in report["layers"] if layer["name"] == IN_PROJECTION]
        assert 0 < packed["kept"] < packed["total"]
        assert packed["multiply_adds"] == 16 * packed["kept"]
        assert report["left_dense"] == {"position": 128}


def test_compaction_that_could_take_nothing_out_is_refused(command, tmp_path) -> None:
    outcome = command(
        "lottery", *FLAGS, "--pruning_strategy=magnitude", "--density=0.5", "--compact", f"--root={tmp_path}"
    )
    assert outcome.code == 2
    assert "--compact: none of the 36 hidden channels of TinyViT can go: flatten, " in outcome.err
    assert list(tmp_path.iterdir()) == []
