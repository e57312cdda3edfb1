"""What the program is called, which version it is, and what its exit codes mean."""

import importlib.metadata
import platform
import sys
import tomllib
from pathlib import Path

NAME = "adsynflow"
EXIT_CODES = """\
exit codes:
  0    done; of diff: the runs are equal
  1    a training diverged, no k was found, or something failed; of diff:
       the runs differ; of check: a number is further off than its tolerance
  2    bad input, or a file that cannot be read or written; nothing is lost
  130, 143, 129
       interrupted by SIGINT, SIGTERM, SIGHUP; the same command goes on"""


def program() -> str:
    """How it was started, as one would type it."""
    return NAME if Path(sys.argv[0]).stem == NAME else "python main.py"


def version() -> str:
    """The versions of the program, Python and PyTorch; imports none of it."""
    return f"{NAME} {own_version()}, Python {platform.python_version()}, torch {installed('torch')}"


def own_version() -> str:
    """Of a checkout what its pyproject.toml says, else of the installed package."""
    project = Path(__file__).parents[1] / "pyproject.toml"
    if not project.is_file():
        return installed(NAME)
    found: str = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    return found


def installed(package: str) -> str:
    """The version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
