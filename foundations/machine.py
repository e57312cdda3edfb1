"""What kind of processor computes: convolutions give other last bits on another one."""

import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch


@cache
def cpu() -> str:
    """The processor's name, and the vector instructions that PyTorch uses on it: ``AMD EPYC 7B13, AVX2``."""
    return f"{processor()}, {torch.backends.cpu.get_cpu_capability()}"


def processor() -> str:
    """The processor's name as the operating system has it; else that of its architecture."""
    try:
        if sys.platform == "darwin":
            asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, subprocess.CalledProcessError, StopIteration):
        return platform.processor() or platform.machine()
