"""Command lines that look at all runs, and that remove what none of them needs."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from cli.terminal import width_of_terminal
from experiments.runs.status import Status
from foundations.store import Store
from tests.cli.test_runs import tensors

Command = Callable[..., Any]
FORMAT_2 = Path(__file__).parents[1] / "stored_runs" / "format_2"


@pytest.fixture
def old_root(tmp_path: Path) -> Path:
    shutil.copytree(FORMAT_2, tmp_path / "old")
    return tmp_path / "old"


# list ----------------------------------------------------------------------------------------------------------------


def test_the_list_has_a_line_for_each_part_and_a_sum(command: Command, old_root: Path) -> None:
    outcome = command("list", f"--root={old_root}", "--where=kind=lottery", "--sort=-accuracy")
    header, *lines, total = outcome.out.splitlines()
    assert outcome.code == 0
    assert " ".join(header.split()) == "run rep model data strategy density k level state acc barrier size"
    assert [line.split()[-3:-1] for line in lines[:1]] == [["20.56%", "3.5"]]
    assert "lottery_2966a787fcf8" in lines[-1]
    assert "interrupted at 1ep" in lines[-1]
    assert total.startswith(f"2 runs below {old_root}, ")


def test_what_has_failed_is_explained_with_the_last_lines_of_its_log(command: Command, old_root: Path) -> None:
    level = Store(old_root / "lottery_2966a787fcf8" / "replicate_1" / "level_1")
    status = {"state": "failed", "task": "level 1", "since": "2026-01-01T00:00:00+00:00", "reason": "no memory"}
    level.write_json("status.json", status)
    for line in ("one", "two", "three", "four", "level 1: failed, no memory"):
        level.append_line("log.txt", line)
    shown = command("list", f"--root={old_root}").out.splitlines()
    place = shown.index("lottery_2966a787fcf8/replicate_1/level_1: no memory")
    assert shown[place + 1 : -1] == ["    two", "    three", "    four"]


def test_json_and_csv_have_every_column_and_hyperparameter(command: Command, old_root: Path) -> None:
    rows = json.loads(command("list", f"--root={old_root}", "--json").out)
    assert len(rows) == 8
    assert {row["lr"] for row in rows} == {0.2}
    table = list(csv.DictReader(io.StringIO(command("list", f"--root={old_root}", "--csv").out)))
    assert [row["run"] for row in table] == [row["run"] for row in rows]
    assert [row["accuracy"] for row in table] == [str(row["accuracy"]) for row in rows]
    assert table[-1]["pruning_strategy"] == ""


@pytest.mark.parametrize("columns", [80, 60, 200])
def test_the_table_fits_the_terminal_and_cuts_no_hash(
    columns: int, command: Command, old_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.commands.list.width_of_terminal", lambda: columns)
    lines = command("list", f"--root={old_root}").out.splitlines()
    table = [line for line in lines if line.startswith(("run ", "lottery_", "train_", "stability_"))]
    assert len(table) == 9
    assert max(map(len, table)) <= columns
    assert {path.name for path in old_root.glob("*_*")} == {line.split()[0] for line in table[1:]}
    below = [line for line in lines if line.startswith("    ")]
    assert bool(below) == (columns < 200)
    assert max(map(len, [*below, *table])) <= columns
    assert {"strategy", "density", "k", "level", "size"} <= {*table[0].split(), *" ".join(below).split()}
    assert "of all: rep 1, model mnist_lenet_4, data digits" in lines[0]
    assert table[0].endswith("acc     barrier" + "  size" * (columns == 200))


def test_below_the_table_stands_why_something_failed(command: Command, old_root: Path) -> None:
    [level] = old_root.glob("lottery_2966a787fcf8/replicate_1/level_1")
    status = Status(state="failed", task="level 1", since="2026-03-01T14:05:09+01:00", reason="No space left\nadvice")
    status.write(Store(level))
    lines = command("list", f"--root={old_root}").out.splitlines()
    assert lines[-2] == "lottery_2966a787fcf8/replicate_1/level_1: No space left"


def test_without_a_terminal_a_line_may_be_as_long_as_it_wants() -> None:
    assert width_of_terminal() is None


def test_nothing_to_list(command: Command, tmp_path: Path, old_root: Path) -> None:
    assert command("list", f"--root={tmp_path / 'none'}").out == f"No runs below {tmp_path / 'none'}\n"
    for flags in (["--where=lr=0.1"], ["--sort=lr"]):
        assert command("list", f"--root={tmp_path / 'none'}", *flags).out.startswith("No runs below")
    assert "that fulfil --where" in command("list", f"--root={old_root}", "--where=lr>9").out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--wher=lr<1"], "--wher=lr<1: no flag of list (did you mean '--where'?)"),
        (["--json", "--csv"], "only one of them"),
        (["--where=lr"], "expected NAME=VALUE"),
    ],
)
def test_bad_input_is_refused(flags: list[str], words: str, command: Command, tmp_path: Path) -> None:
    outcome = command("list", f"--root={tmp_path}", *flags)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err


def test_watching_says_each_change_once(
    command: Command, old_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([lambda: None, lambda: (old_root / "train_a7b76040da42/replicate_1/done.json").unlink()])

    def pause(seconds: float) -> None:
        try:
            next(looks)()
        except StopIteration as error:
            raise KeyboardInterrupt from error

    monkeypatch.setattr("time.sleep", pause)
    outcome = command("list", f"--root={old_root}", "--watch", "--where=kind=train")
    assert outcome.code == 0
    said = [line.partition(" ")[2] for line in outcome.out.splitlines()]
    assert said == ["train_a7b76040da42/replicate_1: done", "train_a7b76040da42/replicate_1: trained 2ep"]


# clean ---------------------------------------------------------------------------------------------------------------


def commands(flags: list[str], small: tuple[str, ...]) -> list[list[str]]:
    """One of each kind, over one trunk."""
    return [
        ["train", *small, *flags],
        ["lottery", *small, "--k=1", "--levels=0-2", "--density=0.2", *flags],
        ["lottery_branch", "shuffle", *small, "--k=1", "--levels=2", "--density=0.2", *flags],
        ["stability", *small, "--k=1", "--alphas=3", *flags],
    ]


@pytest.fixture
def worked(command: Command, place: Any, small: tuple[str, ...]) -> Any:
    """A root in which these commands have run."""
    for line in commands(place.flags, small):
        assert command(*line).code == 0
    return place


def networks_and_masks(root: Path) -> dict[str, bytes]:
    return {name: content for name, content in tensors(root).items() if "checkpoint" not in name}


def test_after_cleaning_everything_is_still_done_and_more_ends_with_equal_bits(
    command: Command, worked: Any, small: tuple[str, ...], steps_taken: list[int], tmp_path: Path
) -> None:
    shutil.copytree(worked.root, tmp_path / "dirty")
    networks = networks_and_masks(worked.root)
    listed = command("clean", f"--root={worked.root}")
    assert "Nothing was removed" in listed.out
    assert networks_and_masks(worked.root) == networks
    cleaned = command("clean", f"--root={worked.root}", "--yes")
    assert cleaned.code == 0
    assert not list(worked.root.rglob("checkpoint*"))
    assert "is superfluous" in command("clean", f"--root={worked.root}").out

    steps_taken.clear()
    for line in commands(worked.flags, small):
        outcome = command(*line)
        assert (outcome.code, steps_taken) == (0, [])
        assert "done before" in outcome.err.lower()

    later = ["lottery", *small, "--k=2", "--pruning_strategy=magnitude", "--density=0.2"]
    for root in (worked.root, tmp_path / "dirty"):
        steps_taken.clear()
        assert command(*later, f"--root={root}", f"--data_dir={worked.data}").code == 0
        assert len(steps_taken) == 23  # the third epoch of the subnetwork: no step of the trunk
    after = networks_and_masks(worked.root)
    assert {name: after[name] for name in networks} == networks
    assert after == networks_and_masks(tmp_path / "dirty")


def test_what_is_superfluous_goes_and_the_rest_stays(command: Command, worked: Any, small: tuple[str, ...]) -> None:
    run = worked.one("lottery_*/replicate_1")
    (run / "level_1" / ".model_3ep0it.safetensors.ab12_cd9").write_bytes(b"half a network")
    shutil.copytree(run / "level_2", run / "level_2.aside_1")
    shutil.copytree(run, run.with_name("replicate_1.aside_1"))
    lonely = command("lottery", *small, "--lr=0.01", "--k=1", "--density=0.5", *worked.flags)
    assert lonely.code == 0
    [other] = [path for path in worked.root.glob("lottery_*/replicate_1") if path != run]
    [trunk] = [path for path in worked.root.glob("train_*") if json.loads(
        (path / "replicate_1" / "desc.json").read_text())["training"]["lr"] == 0.01]  # fmt: skip
    assert str(trunk) not in command("clean", f"--root={worked.root}").out.replace(str(trunk / "replicate_1/check"), "")
    shutil.rmtree(other.parent)

    stays = {path for path in worked.root.rglob("*") if path.is_file() and ".aside" not in str(path)}
    stays = {path for path in stays if not path.is_relative_to(trunk) and not path.name.startswith((".model", "check"))}
    assert command("clean", f"--root={worked.root}", "--yes").code == 0
    assert {path for path in worked.root.rglob("*") if path.is_file()} == stays
    assert not trunk.exists()


def test_checkpoints_go_where_the_training_is_finished(command: Command, old_root: Path) -> None:
    states = [run["state"] for run in json.loads(command("list", f"--root={old_root}", "--json").out)]
    assert command("clean", f"--root={old_root}", "--yes").code == 0
    [left] = old_root.rglob("checkpoint*")
    assert left.relative_to(old_root) == Path("lottery_2966a787fcf8/replicate_1/level_1/checkpoint.safetensors")
    assert [run["state"] for run in json.loads(command("list", f"--root={old_root}", "--json").out)] == states


def test_a_trunk_that_train_was_asked_for_stays(command: Command, place: Any, small: tuple[str, ...]) -> None:
    command("train", *small, "--to=1", *place.flags)
    before = place.files()
    assert "is superfluous" in command("clean", f"--root={place.root}", "--yes").out
    assert place.files() == before


def test_in_a_run_in_which_a_process_works_nothing_is_removed(command: Command, worked: Any) -> None:
    level = worked.one("lottery_*/replicate_1/level_1")
    (level / ".mask.safetensors.ab12_cd9").touch()
    with FileLock(level / ".lock"):
        outcome = command("clean", f"--root={worked.root}", "--yes")
    assert outcome.code == 0
    assert f"{level.parent} is left alone: a process works in {level.parent}" in outcome.err
    assert {path.name for path in level.iterdir()} >= {"checkpoint.safetensors", ".mask.safetensors.ab12_cd9"}
    assert not list(worked.root.glob("stability_*/replicate_1/k_*/child_1/checkpoint*"))


# What is removed is ours, whole, and needed by nothing ---------------------------------------------------------------


def clean(command: Command, root: Path) -> str:
    """Cleans; what was said."""
    outcome = command("clean", f"--root={root}", "--yes")
    assert outcome.code == 0
    return str(outcome.out + outcome.err)


@pytest.mark.parametrize("part", ["train_*/replicate_1", "lottery_*/replicate_1/level_0"])
def test_a_checkpoint_that_could_restore_metrics_stays(
    part: str, command: Command, worked: Any, small: tuple[str, ...]
) -> None:
    directory = worked.one(part)
    whole = (directory / "metrics.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    (directory / "metrics.jsonl").write_bytes(b"".join([lines[0], *lines[2:]]))
    assert "not whole" in clean(command, worked.root)
    assert (worked.one("train_*/replicate_1") / "checkpoint.safetensors").exists()
    assert command("verify", "--repair", f"--root={worked.root}").code == 1
    for line in commands(worked.flags, small)[:2]:
        assert command(*line).code == 0
    assert (directory / "metrics.jsonl").read_bytes() == whole


def test_a_run_without_its_descriptor_keeps_its_trunk(command: Command, worked: Any) -> None:
    trunk = worked.one("train_*/replicate_1")
    begun_by(trunk, ["lottery"])
    for run in worked.root.glob("stability_*"):
        shutil.rmtree(run)
    (worked.one("lottery_*/replicate_1") / "desc.json").unlink()
    assert "may depend on any trunk" in clean(command, worked.root)
    assert trunk.exists()


def begun_by(trunk: Path, argv: list[str]) -> None:
    """As if another command had begun a trunk."""
    Store(trunk).write_json("environment.json", Store(trunk).read_json("environment.json") | {"command": argv})


def test_a_trunk_that_train_was_asked_for_later_stays(command: Command, place: Any, small: tuple[str, ...]) -> None:
    lottery = ["lottery", *small, "--k=1", "--density=0.2", *place.flags]
    assert command(*lottery).code == 0
    assert command("train", *small, "--to=1", *place.flags).code == 0
    shutil.rmtree(place.one("lottery_*"))
    before = place.files()
    assert "is superfluous" in clean(command, place.root)
    assert place.files() == before


def test_files_of_others_are_not_removed(command: Command, worked: Any) -> None:
    run = worked.one("lottery_*/replicate_1")
    strange = [
        worked.root / ".eslintrc.json.20251201", worked.root / "proj" / ".data.csv.backup01",
        run / "level_1" / ".notes.json.20251201", run / ".mine.safetensors.abcd_123",
    ]  # fmt: skip
    for path in strange:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    shutil.copytree(run / "level_2", run / "level_2.aside_1")
    (run / "level_2.aside_1" / "thesis.txt").write_text("mine")
    assert "thesis.txt in it is not this program's" in clean(command, worked.root)
    assert all(path.exists() for path in [*strange, run / "level_2.aside_1" / "thesis.txt"])


def test_what_was_put_aside_and_not_replaced_stays(command: Command, worked: Any) -> None:
    level = worked.one("lottery_*/replicate_1/level_2")
    level.rename(level.with_name("level_2.aside_1"))
    clean(command, worked.root)
    assert (level.parent / "level_2.aside_1" / "done.json").exists()


def test_links_are_neither_followed_nor_removed(command: Command, worked: Any, tmp_path: Path) -> None:
    trunk = worked.one("train_*")
    begun_by(trunk / "replicate_1", ["lottery"])
    shutil.copytree(trunk, tmp_path / "elsewhere" / trunk.name)
    shutil.rmtree(trunk)
    trunk.symlink_to(tmp_path / "elsewhere" / trunk.name)
    for run in [*worked.root.glob("stability_*"), *worked.root.glob("lottery_*")]:
        shutil.rmtree(run)
    linked = worked.root / f"{trunk.name[:-1]}{'0' if trunk.name[-1] != '0' else '1'}"
    linked.mkdir()
    (linked / "replicate_1").symlink_to(tmp_path / "elsewhere" / trunk.name / "replicate_1")
    before = worked.files()
    clean(command, worked.root)
    assert worked.files() == before
    assert (tmp_path / "elsewhere" / trunk.name / "replicate_1" / "done.json").exists()


def test_with_a_run_that_cannot_be_read_no_trunk_is_removed(command: Command, worked: Any) -> None:
    trunk = worked.one("train_*/replicate_1")
    environment = Store(trunk).read_json("environment.json")
    Store(trunk).write_json("environment.json", environment | {"command": ["lottery"]})
    for run in [*worked.root.glob("stability_*"), *worked.root.glob("lottery_*")][1:]:
        shutil.rmtree(run)
    [left] = worked.root.glob("stability_*/replicate_1")
    desc = Store(left).read_json("desc.json")
    Store(left).write_json("desc.json", desc | {"strategy": desc["strategy"] | {"kind": "of_a_plugin"}})
    outcome = command("clean", f"--root={worked.root}", "--yes")
    assert trunk.exists()
    assert outcome.err.count("cannot be read") == 1
    assert "Is a --plugin missing?" in outcome.err
    shutil.rmtree(left.parent)
    command("clean", f"--root={worked.root}", "--yes")
    assert not trunk.exists()
