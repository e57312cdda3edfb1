"""How the process holds memory."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory(limit: int = 2**30) -> bool:
    """Lets glibc keep freed blocks of up to ``limit`` bytes for later use; whether it will.

    A network's activations are megabytes large. By default each is mapped anew in every step and given back, and
    the system clears its pages at the first touch: a tenth of a training step of a small network on a CPU. The
    peak of memory stays the same. With another C library nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, limit)) and bool(mallopt(M_TRIM_THRESHOLD, limit))
