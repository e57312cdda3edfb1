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
        """Return a 63-bit seed for ``purpose`` at ``index``.

        PyTorch's CPU generator (a Mersenne Twister) is seeded by the low 32 bits alone, so that of n streams drawn on
        a CPU two are the same with a probability of about n^2 / 2^33: 5% for 20,000. CUDA's takes all bits.
        """
        name = repr((purpose, self.replicate, index)).encode()
        return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") >> 1

    def generator(self, purpose: str, *index: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.number(purpose, *index))


def seed_global(seed: int, device: torch.device) -> None:
    """Seed the generators from which models draw on the CPU and on ``device`` (dropout): ``torch.manual_seed``,
    without what that costs for all the other devices, some hundred microseconds.
    """
    for generator in global_generators(device):
        generator.manual_seed(seed)


def global_generators(device: torch.device) -> list[torch.Generator]:
    """Return PyTorch's own generators of the CPU and of ``device``, which is last; one if that is the CPU."""
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return [torch.default_generator, torch.cuda.default_generators[index]]
    if device.type == "mps":
        return [torch.default_generator, torch.mps._get_default_mps_generator()]
    return [torch.default_generator]
