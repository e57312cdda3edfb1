"""Do two checkouts of this program compute the same numbers?

    python -m benchmarks.same_numbers record CHECKOUT FILE       # runs every experiment below there, a few minutes
    python -m benchmarks.same_numbers compare FILE OTHER_FILE    # exit code 1 and a list if they differ

A recording holds, for every run: its key (the name of its directory), the sha256 of all weights, masks and optimizer
states, the content of metrics, results, verdicts and tables, and what was printed. So a change that should change no
number is proved by a recording of the version before it and one of its own. Compare recordings of one machine with one
number of threads: other processors round in other places.
"""

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import save

from foundations.tensors import decode_state, decode_tensors

LENET = "--dataset=digits --model=mnist_lenet_16 --training_steps=3ep --threads=1"
RESNET = "--dataset=digits --model=cifar_resnet_8 --training_steps=2ep --milestone_steps=1ep --threads=1"
CHILDREN = f"{LENET} --lr=0.2 --alphas=3 --children=2"

EXPERIMENTS: dict[str, tuple[str, ...]] = {
    "train": (f"train {LENET} --replicate=1-2",),
    "list": (f"lottery {LENET} --pruning_strategy=synflow,adsynflow,random --k=0,1 --density=0.2,0.1 --levels=0-1",),
    "levels": (
        f"lottery {LENET} --pruning_strategy=sparse_global --k=1 --levels=0-3",
        f"lottery {LENET} --pruning_strategy=sparse_layerwise --k=30it --levels=2 --reset_optimizer",
    ),
    "convolutions": (f"lottery {RESNET} --pruning_strategy=adsynflow,snip,grasp --k=1 --density=0.1",),
    "compact": (f"lottery {RESNET} --pruning_strategy=synflow --density=0.05 --compact",),
    "branches": tuple(
        f"lottery_branch {branch} {LENET} --k=1 --levels=1-2 --density=0.2 --allow_collapse"
        for branch in (
            "shuffle", "randomly_prune --scope=global", "randomly_reinitialize", "invert_scores", "rewind",
            "retrain --retrain_lr=0.01 --retrain_training_steps=4ep", "stability --alphas=3",
        )
    ),
    "stability": (
        f"stability {CHILDREN} --k=0,30it --pruning_strategy=none,adsynflow",
        f"stability {CHILDREN} --k=1 --pruning_strategy=sparse_global --children=3 --perturb_hyperparameters=0.1",
    ),
    "auto": (
        f"stability {CHILDREN} --k=auto --threshold=0.02 --pruning_strategy=adsynflow --report=false",
        f"lottery {CHILDREN.replace(' --children=2', '')} --k=auto --threshold=0.5 --density=0.3 --levels=2",
    ),
    "jobs": (
        f"lottery {LENET} --pruning_strategy=magnitude,random --k=1 --replicate=1-2 --jobs=2",
        f"stability {CHILDREN} --k=0,1 --pruning_strategy=adsynflow --jobs=2",
    ),
}  # fmt: skip

TENSORS = ".safetensors"
TABLES = (".csv", ".jsonl", ".json")
# Versions, threads, command line and commit; and the descriptor, whose hash is the name of its directory: a newer
# program may write more fields into it than the hash is made of.
NOT_NUMBERS = {"environment.json", "desc.json", "network.json", "status.json"}
ENVELOPE = {"format", "of", "sha256", "files"}  # says something about the file, not about what was computed


def record(checkout: Path, only: str = "") -> dict[str, dict[str, str]]:
    """What each group of experiments leaves, computed by the program in ``checkout``."""
    found = {}
    for name, commands in EXPERIMENTS.items():
        if only and name != only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "runs")
            printed = [run(checkout, command, root) for command in commands]
            found[name] = {"printed": digest("\n".join(printed).encode()), **dict(contents(root))}
        print(f"{name}: {len(found[name])} entries", file=sys.stderr, flush=True)
    return found


def run(checkout: Path, command: str, root: Path) -> str:
    """The tables that a command line prints."""
    argv = [sys.executable, "main.py", *command.split(), f"--root={root}", "--quiet"]
    done = subprocess.run(argv, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{command}\nended with exit code {done.returncode}:\n{done.stderr}")
    return done.stdout.replace(str(root), "<root>")


def contents(root: Path) -> Iterator[tuple[str, str]]:
    """The name of every file with numbers below ``root``, and a digest of the numbers."""
    for path in sorted(root.rglob("*")):
        if path.name in NOT_NUMBERS or not path.is_file():
            continue
        if path.suffix == TENSORS:
            name = path.relative_to(root).with_suffix(TENSORS)  # whichever version of the program wrote it
            yield str(name), digest_of_tensors(path)
        elif path.suffix in TABLES:
            yield str(path.relative_to(root)), digest(json.dumps(rows(path, root), sort_keys=True).encode())


def rows(path: Path, root: Path) -> Any:
    """The content of a table, without what says nothing about numbers."""
    text = re.sub(re.escape(str(root)), "<root>", path.read_text())
    if path.suffix == ".csv":
        found: Any = [dict(row) for row in csv.DictReader(io.StringIO(text))]
    elif path.suffix == ".jsonl":
        found = [json.loads(line) for line in text.splitlines()]
    else:
        found = [json.loads(text)]
    return [{name: value for name, value in row.items() if name not in ENVELOPE} for row in found]


def digest_of_tensors(path: Path) -> str:
    """That of weights and masks, or of a checkpoint or the state of an optimizer.

    Of weights and masks it is that of the bytes without checksums; ``metrics.jsonl`` has a checkpoint's metrics, too.
    """
    tensors, about = decode_tensors(path, path.read_bytes())
    if "state" in about:
        return digest_of_state(decode_state(path, path.read_bytes()))
    return digest(save(tensors, {"order": json.dumps(about["order"])} if "order" in about else None))


def digest_of_state(state: dict[str, Any]) -> str:
    """That of nested tensors and numbers."""
    return digest(repr(plain({name: value for name, value in state.items() if name != "metrics"})).encode())


def plain(value: Any) -> Any:
    """``value`` with tensors as the digests of their bytes."""
    if isinstance(value, dict):
        return {str(name): plain(entry) for name, entry in sorted(value.items(), key=lambda item: str(item[0]))}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if hasattr(value, "numpy"):
        return digest(value.contiguous().numpy().tobytes())
    return value


def digest(content: bytes) -> str:
    """The first digits of the sha256."""
    return hashlib.sha256(content).hexdigest()[:16]


def compare(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[str]:
    """A line for each entry that only one recording has or that differs."""
    lines = []
    for group in sorted({*before, *after}):
        one, other = (recording.get(group, {}) for recording in (before, after))
        for name in sorted({*one, *other}):
            if one.get(name) != other.get(name):
                what = "only before" if name not in other else "only after" if name not in one else "differs"
                lines.append(f"{group}: {name}: {what}")
    return lines


def main(arguments: list[str]) -> int:
    """See the module."""
    match arguments:
        case ["record", checkout, file, *only]:
            Path(file).write_text(json.dumps(record(Path(checkout), *only), indent=1) + "\n")
            return 0
        case ["compare", file, other]:
            before, after = (json.loads(Path(name).read_text()) for name in (file, other))
            differing = compare(before, after)
            print(*differing, sep="\n", end="\n" * bool(differing))
            print(f"{sum(map(len, before.values()))} entries before, {sum(map(len, after.values()))} after, "
                  f"{len(differing)} differ")  # fmt: skip
            return int(bool(differing))
        case _:
            print(__doc__)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
