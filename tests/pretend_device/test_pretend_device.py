"""The program on an accelerator that is pretended: see ``checks.py``.

A process has the device for good once it is registered, so the checks run in one of their own.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

HERE = Path(__file__).parent


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this PyTorch has no hook for devices written in Python, which is experimental",
)
def test_the_program_on_a_pretended_accelerator() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "checks.py")]
    checks = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True)
    assert checks.returncode == 0, checks.stdout + checks.stderr
