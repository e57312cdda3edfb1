"""PyTorch's pickled files: those of other people, and those that programs of format 1 left. None is written."""

import io
import zipfile
from typing import Any

import torch


def decode_pickle(content: bytes) -> Any:
    """What ``torch.save`` wrote, on the CPU; no code in it is run (``weights_only``).

    Raises:
        ValueError: the bytes are something else, or compressed, which ``torch.save`` never does: what is in them may
            be larger than any memory.
    """
    file = io.BytesIO(content)
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > len(content):
                    raise ValueError("it is larger than its file: PyTorch does not compress what it saves")
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # both readers raise whatever the bytes lead them to
        raise ValueError(str(error)) from error
