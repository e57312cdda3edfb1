"""Masks as bits, and how far apart they are."""

import numpy as np
import torch
from numpy.typing import NDArray

from pruning import Mask

Bits = tuple[NDArray[np.uint8], int]
"""Eight weights a byte, and the number of weights."""


def packed(mask: Mask) -> Bits:
    """A mask as bits."""
    flat = torch.cat([entry.flatten() for entry in mask.values()])
    return np.packbits(flat.cpu().numpy()), flat.numel()


def distance(one: Bits, other: Bits) -> float:
    """The share of bits in which two masks differ."""
    return int(np.unpackbits(one[0] ^ other[0]).sum()) / one[1]


def mask_distance(one: Mask, other: Mask) -> float:
    """The normalized Hamming distance: the share of the weights that just one of two masks of a network keeps."""
    return distance(packed(one), packed(other))
