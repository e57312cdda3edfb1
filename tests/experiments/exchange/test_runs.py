"""What is imported is a run, and others start from it: taken away and brought back, it is the same."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.exchange import find_subnetwork
from experiments.runs.stored import open as open_run
from experiments.session import Session
from foundations import files
from foundations.store import Store
from pruning import Mask
from tests.experiments.exchange.foreign_files import half_masks, network, write_open_lth

Command = Callable[..., Any]
SMALL = ("--model=mnist_lenet_8", "--dataset=digits", "--training_steps=3ep", "--threads=1", "--quiet")


@pytest.fixture(scope="module")
def finished_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lottery run and an analysis from epoch 1 of 3, children with a fresh optimizer. Not to be changed."""
    root = tmp_path_factory.mktemp("theirs") / "runs"
    session = Session(root, threads=1, quiet=True)
    small = {"model": "mnist_lenet_8", "dataset": "digits", "training_steps": "3ep", "k": 1, "reset_optimizer": True}
    session.lottery(**small, pruning_strategy="synflow").run()
    session.stability(**small, pruning_strategy="synflow", alphas=3, report=False).run()
    return root


@pytest.fixture
def root(finished_root: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished_root, tmp_path / "runs")
    return tmp_path / "runs"


def only(root: Path, pattern: str) -> Path:
    [found] = root.glob(pattern)
    return found


@pytest.fixture
def take_in(command: Command, root: Path) -> Callable[..., Path]:
    """``take_in(file, flags...)`` imports; the directory of the import."""

    def take_in(place: Path, *flags: str) -> Path:
        there = set(root.glob("import_*"))
        outcome = command("import", str(place), "--model=mnist_lenet_8", "--dataset=digits", f"--root={root}", *flags)
        assert outcome.code == 0, outcome.err
        [new] = set(root.glob("import_*")) - there
        return new / "replicate_1"

    return take_in


@pytest.mark.parametrize("form", ["safetensors", "torch", "parametrize", "huggingface"])
def test_a_ticket_taken_away_and_brought_back_is_the_same(
    form: str, command: Command, root: Path, take_in: Callable[..., Path], tmp_path: Path
) -> None:
    level = only(root, "lottery_*/replicate_1/level_1")
    assert command("export", str(level), f"--format={form}", f"--output={tmp_path / 'ticket'}").code == 0
    imported = take_in(tmp_path / "ticket")
    assert (imported / "mask.safetensors").exists()
    before, after = (Store(place).result() for place in (level, imported))
    for name in ("test_accuracy", "test_loss", "train_accuracy", "train_loss", "density"):
        assert after[name] == before[name]
    assert Mask.load(imported / files.MASK) == Mask.load(level / files.MASK)


def test_children_of_a_checkpoint_brought_back_are_those_of_the_original(
    command: Command, root: Path, take_in: Callable[..., Path], tmp_path: Path
) -> None:
    """From the trunk at k and its mask, with the trunk's data order, to the last bit."""
    analysis = only(root, "stability_*/replicate_1/k_1ep0it")
    weights = only(root, "train_*/replicate_1/model_1ep0it.safetensors")
    imported = take_in(weights, f"--mask={analysis / files.MASK}", "--step=1ep")
    flags = [f"--imported={imported.parent.name}", *SMALL, "--k=1", "--alphas=3", "--report=false"]
    outcome = command("stability", *flags, f"--root={root}")
    assert outcome.code == 0, outcome.err
    assert "imported" in outcome.out
    [again] = set(root.glob("stability_*/replicate_1/k_1ep0it")) - {analysis}
    for child in ("child_1", "child_2"):
        theirs, ours = (Store(place / child).read_tensors("model_3ep0it.safetensors") for place in (analysis, again))
        assert all(torch.equal(theirs[name], ours[name]) for name in {*theirs, *ours})
    theirs, ours = (Store(place).read_json(files.INSTABILITY) for place in (analysis, again))
    for name in ("error_barrier", "loss_barrier", "child_error", "pairs", "density", "k"):
        assert theirs[name] == ours[name]


def test_levels_branches_and_replicates_start_from_it(
    command: Command, root: Path, take_in: Callable[..., Path], tmp_path: Path
) -> None:
    level = only(root, "lottery_*/replicate_1/level_1")
    imported = take_in(level)  # a level's own directory has network and mask, too
    flags = [f"--imported={imported.parent.name}", *SMALL, f"--root={root}", "--k=0"]
    assert command("lottery", *flags, "--replicate=1-2").code == 0
    for branch in ("retrain", "randomly_reinitialize", "shuffle", "randomly_prune"):
        outcome = command("lottery_branch", branch, *flags)
        assert outcome.code == 0, outcome.err
    trunk, run = (
        open_run(next(at for at in root.glob(f"{kind}_*/replicate_1") if "import_" in (at / files.DESC).read_text()))
        for kind in ("train", "lottery")
    )
    network, start = (
        store.read_tensors(name)
        for store, name in ((Store(level), "model_3ep0it.safetensors"), (trunk.store, "model_0ep0it.safetensors"))
    )
    assert all(torch.equal(value, start[name]) for name, value in network.items())
    [*parts] = (part.name.partition("/")[2].rpartition("_")[0] for part in run.parts)
    assert parts == ["", "randomly_prune", "randomly_reinitialize", "retrain", "shuffle"]
    mask = Mask.load(level / files.MASK)
    assert Mask.load(run.path / "level_1" / files.MASK) == mask
    assert run.ticket(1)[1] == mask
    assert run.result["level_1"]["density"] == mask.density


def test_every_command_that_reads_runs_reads_it(
    command: Command, root: Path, take_in: Callable[..., Path], tmp_path: Path
) -> None:
    level = only(root, "lottery_*/replicate_1/level_1")
    imported = take_in(level)
    run = open_run(imported)
    assert run.state == "done"
    assert run.result["test_accuracy"] == Store(level).result()["test_accuracy"]
    row = next(line for line in command("list", f"--root={root}").out.splitlines() if line.startswith("import_"))
    assert "done" in row
    assert f"{run.result['test_accuracy']:.2%}" in row
    assert find_subnetwork(imported).mask == Mask.load(level / files.MASK)
    assert command("export", str(imported), f"--output={tmp_path / 'out'}").code == 0
    assert "pruned by: others: model_3ep0it.safetensors, mask.safetensors" in (tmp_path / "out/README.md").read_text()
    outcome = command("verify", str(imported))
    assert outcome.code == 0
    assert "nothing is wrong" in outcome.out
    assert "note" not in outcome.out
    assert command("report", f"--root={root}", f"--output={tmp_path / 'page.html'}").code == 0
    assert imported.parent.name in (tmp_path / "page.html").read_text()
    assert str(imported) not in command("clean", f"--root={root}").out


def test_the_same_network_is_imported_once_whatever_its_file(
    command: Command, root: Path, take_in: Callable[..., Path], tmp_path: Path
) -> None:
    level = only(root, "lottery_*/replicate_1/level_1")
    imported = take_in(level)
    before = {path: path.stat().st_mtime_ns for path in imported.iterdir()}
    torch.save(Store(level).read_tensors("model_3ep0it.safetensors"), tmp_path / "weights.pt")
    flags = ("--model=mnist_lenet_8", "--dataset=digits", f"--root={root}")
    outcome = command("import", str(tmp_path / "weights.pt"), f"--mask={level / files.MASK}", *flags)
    assert str(imported) in outcome.out
    assert {path: path.stat().st_mtime_ns for path in imported.iterdir()} == before


def test_what_is_lost_of_it_is_written_anew(command: Command, root: Path, take_in: Callable[..., Path]) -> None:
    level = only(root, "lottery_*/replicate_1/level_1")
    imported = take_in(level)
    (imported / files.MASK).unlink()
    assert command("verify", str(imported)).code == 1
    assert command("import", str(level), "--model=mnist_lenet_8", "--dataset=digits", f"--root={root}").code == 0
    assert command("verify", str(imported)).code == 0


def test_dense_weights_are_pruned_by_any_strategy_but_imported(
    command: Command, root: Path, take_in: Callable[..., Path]
) -> None:
    imported = take_in(only(root, "train_*/replicate_1/model_1ep0it.safetensors"))
    assert not (imported / files.MASK).exists()
    flags = [f"--imported={imported.parent.name}", *SMALL, f"--root={root}", "--k=0"]
    outcome = command("lottery", *flags)
    assert outcome.code == 2
    assert "it came without a mask; give another --pruning_strategy" in outcome.err
    outcome = command("lottery", *flags, "--pruning_strategy=synflow", "--density=0.5", "--levels=0-1")
    assert outcome.code == 0, outcome.err
    assert " 50% " in outcome.out


def test_files_of_open_lth_on_the_command_line(command: Command, tmp_path: Path) -> None:
    theirs = network("cifar_resnet_8")
    write_open_lth(tmp_path / "level_3", theirs, half_masks(theirs))
    flags = (str(tmp_path / "level_3"), "--model=cifar_resnet_8", "--dataset=digits", f"--root={tmp_path / 'runs'}")
    outcome = command("import", *flags)
    assert outcome.code == 2
    assert "--match=order" in outcome.err
    assert not (tmp_path / "runs").exists()
    outcome = command("import", *flags, "--match=order")
    assert outcome.code == 0
    key = only(tmp_path, "runs/import_*").name
    assert f"lottery --imported={key} --model=cifar_resnet_8 --dataset=digits --k=0ep" in outcome.out


def test_a_session_imports_too(root: Path, tmp_path: Path) -> None:
    session = Session(root, threads=1, quiet=True)
    key = session.import_network(only(root, "lottery_*/replicate_1/level_1"), model="mnist_lenet_8", dataset="digits")
    [run] = session.lottery(
        imported=key, model="mnist_lenet_8", dataset="digits", training_steps="1ep", k=0
    ).run().rows()  # fmt: skip
    assert run["strategy"] == "imported"


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ("--k=0", "--k=0ep: import_KEY begins at 1ep"),
        ("--k=1 --model=mnist_lenet_16", "--model=mnist_lenet_16: --imported=import_KEY was imported with --model="),
        ("--k=1 --normalization=unit", "--normalization=unit: --imported=import_KEY was imported with --norm"),
        ("--k=1 --density=0.5", "--density: an imported mask keeps what it keeps"),
        ("--k=1 --pruning_fraction=0.5", "--pruning_fraction: an imported mask keeps what it keeps"),
        ("--k=1 --levels=2", "--levels=2: an imported mask is that of level 1"),
        ("--k=1 --training_steps=3it", "--step=1ep: beyond --training_steps=3it"),
        ("--k=auto", "--k=auto: --imported is the network at one k; give that k"),
        ("--k=1 --imported=import_0123456789ab", "no such import; valid: import_KEY"),
        ("--k=1 --imported=../elsewhere", "no such import; valid: import_KEY"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line_and_writes_nothing(
    flags: str, complaint: str, command: Command, root: Path, take_in: Callable[..., Path]
) -> None:
    imported = take_in(
        only(root, "train_*/replicate_1/model_1ep0it.safetensors"), "--step=1ep",
        f"--mask={only(root, 'lottery_*/replicate_1/level_1') / files.MASK}",
    )  # fmt: skip
    before = sorted(root.rglob("*"))
    key = f"--imported={imported.parent.name}"
    outcome = command("lottery", *SMALL, key, "--pruning_strategy=imported", *flags.split(), f"--root={root}")
    assert outcome.code == 2
    assert len(outcome.err.strip().splitlines()) == 1
    assert complaint.replace("import_KEY", imported.parent.name) in outcome.err
    assert sorted(root.rglob("*")) == before


def test_the_strategy_needs_an_import(command: Command, tmp_path: Path) -> None:
    outcome = command("lottery", *SMALL, "--pruning_strategy=imported", "--k=0", f"--root={tmp_path / 'runs'}")
    assert outcome.code == 2
    assert outcome.err == "--pruning_strategy=imported: give the network with --imported=import_<hash>\n"
    assert not (tmp_path / "runs").exists()


def test_scores_cannot_be_inverted_and_checkpoints_not_be_given_beside(
    command: Command, root: Path, take_in: Callable[..., Path]
) -> None:
    level = only(root, "lottery_*/replicate_1/level_1")
    flags = [f"--imported={take_in(level).parent.name}", *SMALL, "--k=0", f"--root={root}"]
    assert "an imported mask has no scores" in command("lottery_branch", "invert_scores", *flags).err
    outcome = command("stability", *flags, f"--checkpoint={level / 'model_3ep0it.safetensors'}")
    assert "both say where children start" in outcome.err


def test_a_training_goes_on_from_its_step_and_can_be_interrupted(
    command: Command, root: Path, take_in: Callable[..., Path], interrupt_at: Callable[..., None],
    steps_taken: list[int],
) -> None:  # fmt: skip
    imported = take_in(only(root, "train_*/replicate_1/model_1ep0it.safetensors"), "--step=1ep")
    flags = ["train", f"--imported={imported.parent.name}", *SMALL, f"--root={root}"]
    [run] = {path.name for path in root.glob("train_*")}
    assert "--to=0ep: import_" in command(*flags, "--to=0").err
    epoch = 23  # batches of 64 of 1437 images
    interrupt_at(2 * epoch + 3)
    assert command(*flags).code == 130
    assert command(*flags).code == 0
    assert steps_taken == [*range(epoch, 2 * epoch + 3), *range(2 * epoch, 3 * epoch)]
    [new] = (path for path in root.glob("train_*/replicate_1") if path.parent.name != run)
    assert [row["iteration"] for row in Store(new).read_rows(files.METRICS)] == [epoch, 2 * epoch, 3 * epoch]
    assert command("verify", str(new)).code == 0


def test_a_card_says_whose_weights_it_began_with(
    command: Command, root: Path, take_in: Callable[..., Path], tmp_path: Path
) -> None:
    weights = only(root, "train_*/replicate_1/model_1ep0it.safetensors")
    imported = take_in(weights, "--step=1ep")
    flags = [f"--imported={imported.parent.name}", *SMALL, "--k=1", "--pruning_strategy=magnitude"]
    assert command("lottery", *flags, f"--root={root}").code == 0
    runs = root.glob("lottery_*/replicate_1")
    [level] = [run / "level_1" for run in runs if imported.parent.name in (run / files.DESC).read_text()]
    for number, place in enumerate((imported, level)):
        assert command("export", str(place), f"--output={tmp_path / str(number)}").code == 0
        card = (tmp_path / str(number) / "README.md").read_text()
        whence = card.partition("## Where its weights come from")[2].partition("\n## ")[0]
        assert f"`{weights.name}`, sha256 {hashlib.sha256(weights.read_bytes()).hexdigest()}" in whence
        assert f"python main.py import {weights}" in whence
