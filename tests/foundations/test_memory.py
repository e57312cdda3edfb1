import platform
import resource

import pytest
import torch

from foundations.processes import keep_freed_memory

BLOCK = 64 * 2**18  # float32 numbers in 64 MiB, more than glibc keeps of its own accord


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(3):
            torch.ones(BLOCK)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    assert keep_freed_memory()
    # Of 3 * 16,384 pages. The least of several counts, since a system short of memory may take pages back.
    assert min(faults() for _ in range(6)) < 1000
