"""Whatever happens to a file of a run: followed, what is said of it ends with the bits of an undisturbed run."""

import shutil
from pathlib import Path

import pytest

from cli import main
from tests.reliability.conftest import TINY, computed
from tests.reliability.damages import DAMAGES
from tests.reliability.looking import follow
from tests.steps import watched_steps

KINDS = ("cut", "emptied", "deleted", "a directory")

EVERY = 3
"""Each damage is done to every third file here; ``tests.reliability.looking`` does them all to every file."""
ROUNDS = 3  # a command, and advice that is followed


def train(root: Path) -> list[str]:
    """Killed in the middle of its third epoch."""
    argv = ["train", *TINY, f"--root={root}"]
    with watched_steps() as steps:

        def killed(state: object) -> None:
            if len(steps.taken) == 12:
                raise KeyboardInterrupt

        steps.before.append(killed)
        assert main(argv) == 130
    return argv


def lottery(root: Path) -> list[str]:
    """Iterative magnitude pruning, killed at the very end."""
    argv = ["lottery", *TINY, "--pruning_strategy=sparse_global", "--k=1", "--levels=0-2", f"--root={root}"]
    assert main(argv) == 0
    (level,) = root.glob("lottery_*/replicate_1/level_2")
    unfinished(level)
    return argv


def levels(root: Path) -> list[str]:
    """The same, killed between its levels."""
    argv = lottery(root)
    (level,) = root.glob("lottery_*/replicate_1/level_2")
    shutil.rmtree(level)
    return argv


def stability(root: Path) -> list[str]:
    """Killed at the end of the second child."""
    argv = ["stability", *TINY, "--pruning_strategy=synflow", "--k=1", "--alphas=3", "--report=false", f"--root={root}"]
    assert main(argv) == 0
    (analysis,) = root.glob("stability_*/replicate_1/k_*")
    unfinished(analysis / "child_2")
    (analysis / "instability.json").unlink()
    (analysis / "interpolation.csv").unlink()
    return argv


def early_bird(root: Path) -> list[str]:
    """Killed in the analysis at the k that a criterion has found from masks along the trunk."""
    argv = ["stability", *TINY, "--pruning_strategy=synflow", "--k=early_bird", "--patience=2",
            "--alphas=3", "--report=false", f"--root={root}"]  # fmt: skip
    assert main(argv) == 0
    (analysis,) = root.glob("stability_*/replicate_1/k_*")
    (analysis / "instability.json").unlink()
    return argv


def off_grid(root: Path) -> list[str]:
    """A ticket at a k within an epoch, compact, and its branch, which is finished."""
    argv = ["lottery_branch", "shuffle", *TINY, "--pruning_strategy=synflow", "--k=7it", "--density=0.2", "--compact",
            f"--root={root}"]  # fmt: skip
    assert main(argv) == 0
    return argv


def finished(root: Path) -> list[str]:
    """Nothing is left to do but to show it."""
    argv = ["stability", *TINY, "--pruning_strategy=none", "--k=1", "--alphas=3", f"--root={root}"]
    assert main(argv) == 0
    return argv


def unfinished(training: Path) -> None:
    """As if it had been killed after its last epoch."""
    (training / "done.json").unlink()
    (training / "model_3ep0it.safetensors").unlink()


Case = tuple[Path, list[str], dict[str, bytes]]


CASES = (train, lottery, levels, stability, early_bird, off_grid, finished)


@pytest.fixture(scope="session", params=CASES, ids=lambda make: make.__name__)
def interrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A run that is not quite finished, the command that goes on with it, and what that leaves, undisturbed."""
    root = tmp_path_factory.mktemp(request.param.__name__) / "runs"
    argv = request.param(root)
    shutil.copytree(root, root.with_name("undisturbed"))
    assert main([*argv[:-1], f"--root={root.with_name('undisturbed')}"]) == 0
    return root, argv[:-1], computed(root.with_name("undisturbed"))


@pytest.mark.parametrize("damage", KINDS)
def test_advice_ends_with_the_bits_of_an_undisturbed_run(
    interrupted: Case, damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    origin, argv, expected = interrupted
    wrong: dict[str, str] = {}
    names = [*computed(origin), *(str(path.relative_to(origin)) for path in origin.rglob("environment.*"))]
    names = [name for name in names if "/report/" not in name]  # these are written anew by each command
    for name in names[KINDS.index(damage) % EVERY :: EVERY]:
        root = tmp_path / "runs"
        shutil.copytree(origin, root)
        DAMAGES[damage](root / name)
        damaged = content(root / name)
        said = follow_advice([*argv, f"--root={root}"], root / name, capsys)
        left = computed(root)
        not_read = not said and content(root / name) == damaged
        of_the_trunk = name.startswith("train_") and argv[0] != "train" and name not in left
        if name in expected and (not_read or of_the_trunk):  # it is not needed now
            left[name] = expected[name]
        differing = {key for key in {*left, *expected} if left.get(key) != expected.get(key)}
        if said.endswith("!") or differing:
            wrong[name] = f"{said} {differing}"
        shutil.rmtree(root)
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())


def content(path: Path) -> bytes | None:
    """The bytes of a file; None if it is not there."""
    return path.read_bytes() if path.is_file() else None


def follow_advice(argv: list[str], damaged: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a command, again after each advice; what it said of the damage, with ! at the end if that was no way on."""
    said = ""
    for _ in range(ROUNDS):
        capsys.readouterr()
        code = main([*argv, "--quiet"])
        err = capsys.readouterr().err
        said += err
        if code == 0:
            return said.strip()
        if str(damaged) not in err or "Delete the directory" in err:
            return f"{said}: no advice for this file!"
        if not follow(err, damaged):
            return f"{said}: no advice!"
    return f"{said}: the advice did not help!"
