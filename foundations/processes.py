"""The processes that ``torchrun`` has started to train one network together, by its environment variables."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """The part of each batch that one of several processes computes: neighbouring images, nearly equally many each.

    Args:
        number: of the process, from 0.
        of: the number of processes.
    """

    number: int = 0
    of: int = 1

    def part(self, size: int) -> slice:
        """Which images of a batch of ``size`` these are."""
        return slice(size * self.number // self.of, size * (self.number + 1) // self.of)


def own_share() -> Share:
    """That of this process; the whole where it was not started by ``torchrun``."""
    if "MASTER_ADDR" not in os.environ:
        return Share()
    return Share(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def own_gpu() -> int:
    """The number of the GPU on this machine that is for this process."""
    return int(os.environ.get("LOCAL_RANK", "0"))
