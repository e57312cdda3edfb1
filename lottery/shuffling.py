"""Masks in random order."""

from collections.abc import Iterable, Sequence

import torch

from pruning import Mask


def shuffled(mask: Mask, groups: Iterable[Sequence[str]], generator: torch.Generator) -> Mask:
    """The mask with its entries in random order within each group of layers; other layers stay as they are."""
    entries = {name: entry.cpu() for name, entry in mask.items()}
    for group in groups:
        flat = torch.cat([entries[name].flatten() for name in group])
        flat = flat[torch.randperm(len(flat), generator=generator)]
        for name, part in zip(group, flat.split([entries[name].numel() for name in group]), strict=True):
            entries[name] = part.view(mask[name].shape)
    return Mask(entries)
