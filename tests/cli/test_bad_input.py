"""Whatever a user mistypes ends in a line or two that say what is wrong, and nothing is written."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.steps import Steps

HOME = Path(__file__).parent.parent.parent


def assert_refused(outcome: Any, *texts: str) -> None:
    assert outcome.code == 2
    assert outcome.out == ""
    assert len(outcome.err.strip().splitlines()) in (1, 2)
    assert_named(outcome, *texts)


def assert_named(outcome: Any, *texts: str) -> None:
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    for text in texts:
        assert text in outcome.err


CASES = {
    # the model, data set and strategy
    "--model=cifar_resnet_21": ["depth must be 6n+2", "'cifar_resnet_20'"],
    "--model=cifar_resnet20": ["did you mean 'cifar_resnet_20'?"],
    "--pruning_strategy=IMP": ["(here sparse_global, level by level"],
    "--pruning_strategy=lrr": ["(here sparse_global with --retrain=rewind_lr)"],
    "--sparsity=0.9": ["--sparsity: unknown flag (here --density, the share that is kept)"],
    "--seed=3": ["(here --replicate)"],
    "--density=ten%": ["--density=ten%: expected a number"],
    "--density=0%": ["--density=0.0: expected a number in (0, 1)"],
    "--model=resnet": ["--model=resnet: unknown model"],
    "--model=": ["--model=: a value is missing"],
    "--dataset=cifar11": ["--dataset=cifar11", "did you mean 'cifar10'"],
    "--dataset=": ["--dataset=: a value is missing"],
    "--dataset=image_folder": ["--dataset=image_folder: expected image_folder:NAME"],
    "--pruning_strategy=synfow": ["--pruning_strategy=synfow", "did you mean 'synflow'"],
    "--recipe=thesi": ["--recipe=thesi: no such recipe", "did you mean 'thesis'?"],
    # numbers, steps and choices
    "--lr=fast": ["--lr=fast: expected a number"],
    "--lr=nan": ["--lr=nan: expected a finite number"],
    "--lr=": ["--lr=: expected a number"],
    "--lr=0": ["--lr=0.0: expected a number in (0, inf)"],
    "--batch_size=1.5": ["--batch_size=1.5: expected a whole number"],
    "--training_steps=10xp": ["--training_steps=10xp", "30ep"],
    "--milestone_steps=60,x": ["--milestone_steps=x", "is not a step"],
    "--k=earlybird": ["--k=earlybird", "or auto, early_bird, early_crop (did you mean 'early_bird'"],
    "--k=200": ["--k=200ep: beyond --training_steps=160ep"],
    "--k=99999it --dataset=digits": ["--k=99999it: beyond --training_steps=20ep"],
    "--layers_to_ignore=fcc --dataset=digits": ["--layers_to_ignore=fcc: no such layer (did you mean 'fc'"],
    "--layers_apart=*.shortcuts --dataset=digits": ["--layers_apart=*.shortcuts: no such layer", "layers: conv1,"],
    "--layer_fractions=fcc:0.1 --dataset=digits": ["--layer_fractions=fcc: no such layer (did you mean 'fc'"],
    "--pruning_fraction=1.5": ["--pruning_fraction=1.5: expected a number in (0, 1)"],
    "--density=0": ["--density=0.0: expected a number in (0, 1)"],
    "--density=0.1 --pruning_fraction=0.5": ["--density and --pruning_fraction say the same thing"],
    "--density=0.1 --levels=0": ["--levels=0 prunes nothing"],
    "--optimizer=sdg": ["--optimizer=sdg: expected one of sgd, momentum"],
    "--quiet=maybe": ["--quiet=maybe: expected true or false"],
    "--threads=0": ["--threads=0: expected a number in [1, 1024]"],
    "--threads=100000": ["--threads=100000: expected a number in [1, 1024]"],
    "--threads=99999999999": ["--threads=99999999999: expected a number in [1, 1024]"],
    "--training_steps=1000000000000": ["--training_steps=1000000000000", "more than 1,000,000 epochs"],
    "--jobs=0": ["--jobs=0: expected a number in [1, 1024]"],
    "--jobs=two": ["--jobs=two: expected a whole number"],
    "--jobs=1-2 --replicate=1-2": ["--jobs=1-2: expected a whole number"],
    "--device=tpu": ["--device=tpu: not available here; valid: auto, cpu"],
    "--replicate=0": ["--replicate=0: expected a number in [1, inf)"],
    "--replicate=3-1": ["--replicate=3-1: the range 3-1 is empty"],
    "--replicate=1-99999999": ["the range 1-99999999 has more than 1000 numbers"],
    "--levels=-1": ["--levels=-1: expected a number in [0, inf)"],
    "--levels=a": ["--levels=a: expected a whole number"],
    "--levels=": ["--levels=: expected level numbers"],
    "--plugin=nowhere.py": ["--plugin=nowhere.py: no such file"],
    "--plugin=one.py,two.py": ["--plugin=one.py,two.py: no such file; give --plugin once for each file"],
    # flags
    "--flga=1": ["--flga: unknown flag"],
    "--pruning_fration=0.5": ["did you mean '--pruning_fraction'"],
    "--batch=64": ["--batch: unknown flag"],  # no abbreviations
    "--lr": ["--lr: a value is missing"],
    "--k": ["--k: a value is missing"],
    "--k --lr=0.1": ["--k: a value is missing"],
    "digits": ["digits: not a flag; flags are written --flag=value"],
    "-k=3": ["-k=3: not a flag"],
    "--synflow_input=mean --pruning_strategy=random": [
        "--synflow_input belongs to --pruning_strategy=adsynflow or --pruning_strategy=synflow or"
    ],
    "--synflow_input=none": ["--synflow_input=none: expected one of ones, image, mean, batch"],
}


@pytest.mark.parametrize("flags", CASES)
def test_bad_flags_are_named_and_nothing_is_written(flags: str, command: Callable[..., Any], place: Any) -> None:
    assert_refused(command("lottery", *place.flags, *flags.split()), *CASES[flags])
    assert place.untouched


@pytest.mark.parametrize("value", ["x" * 5000, "x " * 5000, "x\n" * 5000, "\0" * 5000, "9" * 5000])
@pytest.mark.parametrize("flag", ["model", "dataset", "lr", "k", "pruning_strategy", "replicate", "plugin", "root"])
def test_a_long_value_is_not_repeated_in_full(
    flag: str, value: str, command: Callable[..., Any], tmp_path: Path
) -> None:
    outcome = command("lottery", "--dataset=digits", f"--root={tmp_path / 'runs'}", f"--{flag}={value}")
    assert outcome.code == 2
    assert len(outcome.err) < 2500
    assert len(outcome.err.splitlines()) <= 14
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["lotery"], "lotery: unknown command (did you mean 'lottery'"),
        (["--model=cifar_resnet_20"], "--model=cifar_resnet_20: unknown command"),
        (["train", "--k=3"], "--k is no flag of this command"),
        (["train", "--jobs=0"], "--jobs=0: expected a number in [1, 1024]"),
        (["lottery_branch", "shuffle", "--jobs=0"], "--jobs=0: expected a number in [1, 1024]"),
        (["stability", "--jobs=0"], "--jobs=0: expected a number in [1, 1024]"),
        (["train", "--lr=fast"], "--lr=fast: expected a number"),
    ],
)
def test_bad_commands_are_named(argv: list[str], text: str, command: Callable[..., Any]) -> None:
    assert_refused(command(*argv), text)


def test_missing_data_without_a_network_say_where_to_put_them(
    command: Callable[..., Any], place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*arguments: object, **options: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    outcome = command("lottery", "--dataset=cifar10", *place.flags)
    assert_refused(outcome, "--dataset=cifar10", str(place.data), "--dataset=digits")
    assert place.untouched


def test_an_unreadable_image_is_named(command: Callable[..., Any], place: Any) -> None:
    for split in ("train", "test"):
        folder = place.data / "mine" / split / "cat"
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(b"no picture")
    before = sorted(place.data.rglob("*"))
    assert_refused(command("train", "--dataset=image_folder:mine", *place.flags), "1.png")
    assert sorted(place.data.rglob("*")) == before
    assert not place.root.exists()


def test_a_directory_that_cannot_be_written_is_named(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = command("train", "--dataset=digits", "--model=mnist_lenet_4", f"--root={tmp_path / 'file' / 'runs'}")
    assert_refused(outcome, str(tmp_path / "file"), "the same command")


@pytest.mark.parametrize(
    "name",
    [
        "train_*/replicate_1/model_1ep0it.safetensors",
        "train_*/replicate_1/optimizer_1ep0it.safetensors",
        "lottery_*/replicate_1/level_1/mask.safetensors",
        "lottery_*/replicate_1/level_1/sparsity_report.json",
        "lottery_*/replicate_1/level_1/checkpoint.safetensors",
        "lottery_*/replicate_1/level_1/metrics.jsonl",
    ],
)
def test_a_damaged_file_of_a_run_is_named_and_deleting_it_mends_the_run(
    name: str, command: Callable[..., Any], finished: Any, small: tuple[str, ...]
) -> None:
    argv = ("lottery", *small, "--k=1", *finished.flags)
    final = finished.one("lottery_*/replicate_1/level_1/model_3ep0it.safetensors")
    whole = final.read_bytes()
    finished.one("lottery_*/replicate_1/level_1/done.json").unlink()  # as if it had been killed at its end
    final.unlink()
    damaged = finished.one(name)
    damaged.write_bytes(damaged.read_bytes()[:20] + b"\xff\n")
    assert_named(command(*argv), f"{damaged} is damaged", "elete")
    damaged.unlink()
    assert command(*argv).code == 0
    assert final.read_bytes() == whole


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "main.py", "lottery", "--model=cifar_resnet20", f"--root={tmp_path / 'runs'}"],
        cwd=HOME, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "did you mean 'cifar_resnet_20'?" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_defect_shows_its_traceback_and_says_that_the_command_resumes(
    command: Callable[..., Any], place: Any, steps: Steps
) -> None:
    def broken(state: object) -> None:
        raise ZeroDivisionError("a defect")

    steps.before.append(broken)
    outcome = command("train", "--dataset=digits", "--model=mnist_lenet_4", "--threads=1", *place.flags)
    assert outcome.code == 1
    assert "ZeroDivisionError: a defect" in outcome.err
    assert outcome.err.strip().endswith("The same command resumes.")
