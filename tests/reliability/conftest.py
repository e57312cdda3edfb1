"""Runs that are damaged or stopped, and what the same command makes of them."""

from pathlib import Path

TINY = ("--dataset=digits", "--subsample_fraction=0.2", "--model=mnist_lenet_16", "--training_steps=3ep", "--threads=1")
"""Flags of a training of 15 steps, 5 an epoch."""

ABOUT_IT = (".", "environment.", "status.", "log.")
"""Files whose names begin so say when and how something was computed."""


def computed(root: Path) -> dict[str, bytes]:
    """The bytes of every file below a root that holds what was computed; nothing that was put aside."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(ABOUT_IT) and ".aside" not in str(path)
    }
