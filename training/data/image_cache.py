"""Decoded images on disk, so that a folder of images is decoded only once."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from foundations.disk import atomic_write
from foundations.reporting import Reporter
from foundations.store import UNREADABLE

SOURCE = "source"


def cache_of(data_dir: Path, name: str) -> Path:
    """Where the decoded images of a folder are kept."""
    return data_dir / f"{name}.cache.safetensors"


def is_cached(data_dir: Path, name: str, source: str) -> bool:
    """Whether what was decoded from ``source`` (a digest) is kept; reads no image."""
    try:
        with safe_open(cache_of(data_dir, name), framework="pt") as file:
            return bool((file.metadata() or {}).get(SOURCE) == source)
    except (OSError, *UNREADABLE):
        return False


def read_cache(path: Path, source: str) -> Tensor | None:
    """What :func:`write_cache` stored for ``source``; None if there is no such file, or it is damaged."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get(SOURCE) != source:
                return None
            images: Tensor = file.get_tensor("images")
            return images
    except (OSError, *UNREADABLE):
        return None


def write_cache(path: Path, source: str, images: Tensor, reporter: Reporter) -> None:
    """Stores the images decoded from ``source`` (a digest); where that is impossible, says so and goes on."""
    try:
        with atomic_write(path) as temporary:
            save_file({"images": images}, temporary, metadata={SOURCE: source})
    except (OSError, SafetensorError) as error:
        reporter.warn(f"The decoded images cannot be kept in {path} ({error}); they are decoded each time.")
