"""Command lines run to their end, run again, broken off and gone on with."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundations.store import Store
from pruning import strategies

HOME = Path(__file__).parent.parent.parent
STEPS = 23  # in an epoch of the 1,442 digits in batches of 64

Command = Callable[..., Any]


def tensors(root: Path) -> dict[str, bytes]:
    """The bytes of all weights and masks below ``root``."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.safetensors"))}


def test_a_lottery_run_leaves_these_files(finished: Any) -> None:
    run = finished.one("lottery_*/replicate_1")
    trunk = finished.one("train_*/replicate_1")
    for name in ("desc.json", "environment.json", "metrics.jsonl", "checkpoint.safetensors", "done.json"):
        assert (trunk / name).is_file()
    assert {path.name for path in trunk.glob("model_*")} == {f"model_{k}ep0it.safetensors" for k in range(4)}
    for name in ("mask.safetensors", "sparsity_report.json", "metrics.jsonl", "model_3ep0it.safetensors", "done.json"):
        assert (run / "level_1" / name).is_file()
    assert not list(finished.root.rglob("*.tmp"))


def test_the_table_has_a_line_for_each_level(command: Command, finished: Any, small: tuple[str, ...]) -> None:
    outcome = command("lottery", *small, "--k=1", "--levels=0-1", *finished.flags)
    header, full, pruned = outcome.out.splitlines()
    assert header.split("  ")[0] == "strategy"
    assert " 100% " in full
    assert " 10% " in pruned  # as asked for: the mask keeps 118 of 1,184 weights
    assert str(finished.one("lottery_*/replicate_1/level_1")) in pruned


def test_run_again_it_trains_nothing_changes_no_file_and_says_so(
    command: Command, finished: Any, small: tuple[str, ...], steps_taken: list[int]
) -> None:
    before = finished.files()
    outcome = command("lottery", *small, "--k=1", "--levels=0-1", *finished.flags)
    assert outcome.code == 0
    assert steps_taken == []
    assert finished.files() == before
    assert "Nothing was trained" in outcome.err


def test_a_last_row_of_metrics_whose_end_is_flipped_is_missed_and_restored(
    command: Command, finished: Any, small: tuple[str, ...]
) -> None:
    """Read by itself, such a file has one row less, as when its writer was killed; the marker knows better."""
    before = {metrics: metrics.read_bytes() for metrics in finished.root.rglob("metrics.jsonl")}
    for metrics, content in before.items():
        metrics.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    outcome = command("verify", f"--root={finished.root}")
    assert outcome.code == 1
    assert all(f"{metrics} is not the one that done.json was written with" in outcome.out for metrics in before)
    outcome = command("lottery", *small, "--k=1", "--levels=0-1", *finished.flags)
    assert all(f"{metrics} lacked epochs that were trained" in outcome.err for metrics in before)
    assert {metrics: metrics.read_bytes() for metrics in before} == before


def test_the_trunk_of_a_lottery_run_is_the_training(
    command: Command, finished: Any, small: tuple[str, ...], steps_taken: list[int]
) -> None:
    before = finished.files()
    outcome = command("train", *small, *finished.flags)
    assert (outcome.code, steps_taken) == (0, [])
    changed = {Path(name).name for name, content in finished.files().items() if content != before.get(name)}
    assert changed == {"environment.json", "environment.json.copy"}  # which say that it is asked for now


def test_another_k_trains_no_step_of_the_trunk_again(
    command: Command, place: Any, small: tuple[str, ...], steps_taken: list[int]
) -> None:
    assert command("lottery", *small, "--k=1", *place.flags).code == 0
    assert steps_taken == [*range(STEPS), *range(STEPS, 3 * STEPS)]  # to k, then the subnetwork
    steps_taken.clear()
    outcome = command("lottery", *small, "--k=2", *place.flags)
    assert steps_taken == [*range(STEPS, 2 * STEPS), *range(2 * STEPS, 3 * STEPS)]
    assert "going on from 1ep to 2ep; no earlier step is trained again" in outcome.err


def test_several_strategies_share_one_trunk(
    command: Command, finished: Any, small: tuple[str, ...], steps_taken: list[int]
) -> None:
    """Every registered strategy trains a subnetwork, with its own defaults but k, and no dense step is taken."""
    before = tensors(finished.one("train_*"))
    scored = [name for name in strategies if name != "imported"]  # which comes with an import
    names = ",".join(scored)
    outcome = command("lottery", *small, f"--pruning_strategy={names}", "--k=1", "--allow_collapse", *finished.flags)
    assert outcome.code == 0, outcome.err
    rows = outcome.out.splitlines()[1:]
    assert sorted(row.split()[0] for row in rows if "(full" not in row) == scored
    assert all("trained before" in line for line in outcome.err.splitlines() if line.startswith("Trunk"))
    after = tensors(finished.one("train_*"))
    assert {name: after[name] for name in before} == before


def test_two_directories_get_the_same_bits_and_another_replicate_others(
    command: Command, finished: Any, small: tuple[str, ...], tmp_path: Path
) -> None:
    argv = ("lottery", *small, "--k=1", "--levels=0-1")
    other = tmp_path / "other"
    assert command(*argv, f"--root={other}", "--replicate=1-2").code == 0
    first, second = tensors(finished.root), tensors(other)
    assert {name: bits for name, bits in second.items() if "replicate_1" in name} == first
    full_masks = {name for name in first if name.endswith("level_0/mask.safetensors")}
    for name in first.keys() - full_masks:
        assert second[name.replace("replicate_1", "replicate_2")] != first[name]


def test_replicates_are_summed_up_with_their_number(command: Command, place: Any) -> None:
    tiny = ("--dataset=digits", "--model=mnist_lenet_4", "--training_steps=1ep", "--threads=1")
    outcome = command("train", *tiny, "--replicate=1,2", *place.flags)
    assert [line.split()[0] for line in outcome.out.splitlines()] == ["replicate", "1", "2"]
    outcome = command("lottery", *tiny, "--levels=0", "--k=0", "--replicate=1,2", *place.flags)
    assert outcome.out.splitlines()[1].split()[-2] == "2"  # replicates


def test_quiet_prints_the_table_alone(command: Command, place: Any, small: tuple[str, ...]) -> None:
    outcome = command("train", *small, "--quiet", *place.flags)
    assert outcome.err == ""
    assert len(outcome.out.splitlines()) == 2


def test_a_log_has_a_line_for_each_epoch(command: Command, place: Any, small: tuple[str, ...]) -> None:
    lines = command("train", *small, *place.flags).err.splitlines()
    assert [line.split(": ")[1].split(",")[0] for line in lines[1:-1]] == ["1ep of 3ep", "2ep of 3ep", "3ep of 3ep"]
    spent = r"0:00:\d\d, 0:00:\d\d of processors, at most \d+ MB a process"
    assert re.fullmatch(rf"Compute: {spent} \(.*, threads: 1; all attempts\)\.", lines[-1])
    assert not any("\x1b" in line or "\r" in line for line in lines)


def test_milestones_past_the_end_are_mentioned_where_they_were_given(
    command: Command, place: Any, small: tuple[str, ...]
) -> None:
    said = command("train", *small, "--milestone_steps=2,9", *place.flags).err
    assert "--milestone_steps: 9ep is not reached, since --training_steps=3ep; the learning rate stays" in said


def test_a_run_whose_data_have_changed_refuses_to_go_on(
    command: Command, finished: Any, small: tuple[str, ...]
) -> None:
    for environment in finished.root.rglob("environment.json"):
        store = Store(environment.parent)
        entries = store.read_json(environment.name)
        store.write_json(environment.name, {**entries, "data_fingerprint": f"0{entries['data_fingerprint']}"})
    before = finished.files()
    for argv in (["train"], ["lottery", "--k=1"], ["lottery", "--k=2"]):
        outcome = command(*argv, *small, *finished.flags)
        assert outcome.code == 2
        assert "was computed on other data" in outcome.err
        if argv != ["lottery", "--k=2"]:
            assert finished.files() == before


def test_nothing_is_called_done_before_changed_data_are_refused(command: Command, place: Any) -> None:
    """The analyses of a search are found done one by one."""
    tiny = ("--dataset=digits", "--subsample_fraction=0.2", "--model=mnist_lenet_4", "--training_steps=2ep")
    argv = ("stability", "--k=auto", *tiny, "--threads=1", "--alphas=3", "--report=false", *place.flags)
    assert "Done before" not in command(*argv).err
    assert "Done before" in command(*argv).err
    for environment in place.root.rglob("environment.json*"):
        store = Store(environment.parent)
        store.write_json(environment.name, {**store.read_json(environment.name), "data_fingerprint": "0"})
    outcome = command(*argv)
    assert outcome.code == 2
    assert "was computed on other data" in outcome.err
    assert "Done before" not in outcome.err


def test_a_run_goes_on_with_the_threads_it_began_with(command: Command, finished: Any, small: tuple[str, ...]) -> None:
    argv = ["lottery", *small, "--k=1", "--threads=2", *finished.flags]
    level = finished.one("lottery_*/replicate_1/level_1")
    whole = tensors(level)
    for name in ("done.json", "checkpoint.safetensors", "model_3ep0it.safetensors", "metrics.jsonl"):
        (level / name).unlink()
    assert "Going on with 1 thread, as this run began." in command(*argv).err
    assert tensors(level) == whole


def test_interrupted_it_says_how_to_go_on_and_does(
    command: Command, finished: Any, tmp_path: Path, small: tuple[str, ...], interrupt_at: Callable[..., None]
) -> None:
    root = tmp_path / "other"
    argv = ("lottery", *small, "--k=1", "--levels=0-1", f"--root={root}")
    interrupt_at(2 * STEPS + 5, masked=True)
    outcome = command(*argv)
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == "Interrupted. The same command goes on from the last checkpoint."
    assert command(*argv).code == 0
    assert tensors(root) == tensors(finished.root)


def kill_when(argv: list[str], appears: str, root: Path) -> None:
    """Starts a command line and kills it without warning once a metrics file has two lines: an epoch has begun."""
    process = subprocess.Popen([sys.executable, "main.py", *argv], cwd=HOME, stderr=subprocess.DEVNULL)
    try:
        for _ in range(6000):
            files = list(root.glob(appears))
            if files and len(files[0].read_text().splitlines()) >= 2:
                break
            assert process.poll() is None, "ended before it could be killed"
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_killed_in_the_middle_of_an_epoch_it_ends_in_the_same_bits(command: Command, tmp_path: Path) -> None:
    """Once while the trunk is trained, once while the subnetwork is; with convolutions and momentum."""
    flags = ["lottery", "--dataset=digits", "--model=cifar_resnet_8", "--training_steps=3ep", "--k=2", "--threads=1"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    kill_when([*flags, f"--root={killed}"], "train_*/replicate_1/metrics.jsonl", killed)
    assert not list(killed.glob("lottery_*/replicate_1/level_1/mask.safetensors"))
    kill_when([*flags, f"--root={killed}"], "lottery_*/replicate_1/level_1/metrics.jsonl", killed)
    assert not list(killed.rglob("done.json"))
    assert command(*flags, f"--root={killed}").code == 0
    assert command(*flags, f"--root={whole}").code == 0
    assert tensors(killed) == tensors(whole)
    for path in whole.rglob("metrics.jsonl"):
        assert (killed / path.relative_to(whole)).read_bytes() == path.read_bytes()


def test_help_imports_nothing_slow() -> None:
    script = (
        "import sys; from cli import main; code = main(['--help']);"
        "print([name for name in ('torch', 'numpy', 'rich', 'dataclasses_json') if name in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=HOME, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
    assert "lottery" in done.stdout


MODELS = [
    "cifar_resnet_20", "cifar_resnet_8", "cifar_resnet_20_64", "cifar_resnet_56",
    "cifar_vgg_11", "cifar_vgg_13", "cifar_vgg_16", "cifar_vgg_19", "mnist_lenet_300_100",
]  # fmt: skip


@pytest.mark.parametrize("strategy", [name for name in strategies if name != "imported"])
def test_every_strategy_has_a_place_with_every_model_and_writes_nothing(
    strategy: str, command: Command, place: Any
) -> None:
    places = set()
    for model in MODELS:
        for dataset in ("", "--dataset=digits", "--dataset=cifar10"):
            flags = [f"--model={model}", f"--pruning_strategy={strategy}", *([dataset] if dataset else [])]
            outcome = command("lottery", *flags, "--display_output_location", *place.flags)
            assert (outcome.code, outcome.err) == (0, "")
            path = Path(outcome.out.strip())
            assert path.name == "replicate_1"
            assert path.parent.parent == place.root
            places.add(path)
    assert len(places) == 2 * len(MODELS) + 1  # cifar10 is the default of all but LeNet
    assert place.untouched


def test_locations_come_one_a_line_for_lists(command: Command, place: Any) -> None:
    outcome = command("lottery", "--k=0,5", "--replicate=1-2", "--display_output_location", *place.flags)
    paths = [Path(line) for line in outcome.out.splitlines()]
    assert [path.name for path in paths] == ["replicate_1", "replicate_2"] * 2
    assert len(set(paths)) == 4


def test_strategies_at_different_densities_are_warned_of(command: Command, tmp_path: Path) -> None:
    flags = ["--dataset=digits", "--model=mnist_lenet_4", "--training_steps=1ep", "--k=0", f"--root={tmp_path}"]
    outcome = command("lottery", *flags, "--threads=1", "--quiet", "--pruning_strategy=random,sparse_global")
    assert outcome.code == 0
    assert "compared at different densities (random 0.1; sparse_global 0.8); --density gives them one" in outcome.err
