"""Everything random draws from a generator with a name."""

import hashlib
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Seeds:
    """The random numbers of one replicate of an experiment.

    A generator's seed is a hash of its purpose, the replicate and an index (a child, an epoch), so that no two
    purposes, replicates or epochs share a stream: ``seed + epoch`` would give neighbouring seeds the same data
    orders one epoch apart.
    """

    replicate: int

    def number(self, purpose: str, *index: int) -> int:
        """A 63-bit seed for ``purpose`` at ``index``."""
        name = repr((purpose, self.replicate, index)).encode()
        return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") >> 1

    def generator(self, purpose: str, *index: int) -> torch.Generator:
        """A fresh CPU generator for ``purpose`` at ``index``."""
        return torch.Generator().manual_seed(self.number(purpose, *index))
