"""Twelve ways in which a file of a run may be damaged, mixed up or lost."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

Damage = Callable[[Path], object]


def flip(place: int) -> Damage:
    """Return a damage that flips one bit of a file."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    return damage


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def become_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def swap(path: Path) -> None:
    """Put the other replicate's file in the place of this one's."""
    shutil.copy(str(path).replace("replicate_1", "replicate_2"), path)


def without_line(place: int) -> Damage:
    """Return a damage that loses a line, whole."""

    def damage(path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:place], *lines[place % len(lines) + 1 :]]))

    return damage


WITHIN: Mapping[str, Damage] = {
    "a bit in the head": flip(12),
    "a bit in the data": flip(-9),
    "cut": cut,
    "emptied": lambda path: path.write_bytes(b""),
    "another replicate's": swap,
    "deleted": Path.unlink,
    "a directory": become_directory,
    "{}": lambda path: path.write_text("{}\n"),
    "[]": lambda path: path.write_text("[]\n"),
    "null": lambda path: path.write_text("null\n"),
}
"""Damages that a file shows by itself, or by a marker that lists it."""
DAMAGES = {**WITHIN, "without a line": without_line(1), "without the last line": without_line(-1)}
