"""The command line. Importing it imports neither torch nor any package of ours that does."""

import atexit
import contextlib
import errno
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
import tomllib
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from foundations.errors import UsageError, near_misses, shorten
from foundations.interruption import Interruption
from foundations.processes import Share, end_with_parent, own_share
from foundations.text import printable_text

NAME = "adsynflow"
COMMANDS: Mapping[str, str] = {
    "train": "train the full network",
    "lottery": "train to k, prune, train the subnetwork on; level by level",
    "lottery_branch": "a level again with one thing changed: shuffled mask, ...",
    "stability": "from which step on is a network stable to SGD noise?",
    "list": "all runs: what they are, their progress, their results",
    "clean": "find files that no run needs any more, and remove them",
    "report": "one HTML page of runs: tables, figures, commands",
    "export": "a trained subnetwork as files for other programs",
    "import": "somebody else's network and mask as a run to start from",
    "small_dense": "dense networks as large as a subnetwork: its control",
    "diff": "compare two runs: hyperparameters, versions, results, weights",
    "available": "list strategies, models, data sets, recipes and so on",
    "completion": "print a script that lets a shell complete flags",
    "verify": "check all files of runs against their checksums",
    "check": "compute a published number again: theirs, ours, pass or fail",
    "task": "one part of an experiment, described by JSON",
}
FAILED, BAD_INPUT = 1, 2
EXIT_CODES = """\
exit codes:
  0    done; of diff: the runs are equal
  1    a training diverged, no k was found, or something failed; of diff:
       the runs differ; of check: a number is further off than its tolerance
  2    bad input, or a file that cannot be read or written; nothing is lost
  130, 143, 129
       interrupted by SIGINT, SIGTERM, SIGHUP; the same command goes on"""
RESUMES = "A defect of the program or a plug-in. The same command resumes."
NO_MEMORY = "There is not enough memory. The same command goes on from the last checkpoint."
PACKAGES = ("foundations", "models", "pruning", "training", "lottery", "stability", "experiments")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0; 1 for a defect or a training that has diverged; 2 for bad input; when interrupted 130
        (SIGINT), 143 (SIGTERM) or 129 (SIGHUP).
    """
    open_streams()
    with Interruption(has_parent=end_with_parent()).install() as interruption:
        code = guarded(list(sys.argv[1:] if argv is None else argv), interruption)
    return flushed(code)


def guarded(arguments: Sequence[str], interruption: Interruption) -> int:
    """Run a command; whatever it raises becomes a message on standard error and an exit code."""
    try:
        return run(arguments, interruption)
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return interrupted(interruption)
    except SystemExit as error:
        print(f"A plug-in or a library has called sys.exit({error.code!r}).", file=sys.stderr)
    except BrokenPipeError:
        pass
    except MemoryError:
        print(NO_MEMORY, file=sys.stderr)
    except OSError as error:  # no permission, no space
        of_output = error.filename is None and error.errno in (errno.ENOSPC, errno.EIO, errno.EBADF)
        where = "Standard output" if of_output else error.filename
        print(shorten(f"{where}: {error.strerror}" if where else str(error)), file=sys.stderr)
        print("Once this is put right, the same command goes on from the last checkpoint.", file=sys.stderr)
        return BAD_INPUT
    except Exception as error:
        if interruption.asked():  # which a library has made an error of its own of
            return interrupted(interruption)
        if isinstance(error, ImportError) and "failed to map segment" in str(error):  # what dlopen(3) makes of ENOMEM
            print(NO_MEMORY, file=sys.stderr)
            return FAILED
        print(printable_text(traceback.format_exc().rstrip()), file=sys.stderr)
        print(f"\n{RESUMES}", file=sys.stderr)
    return FAILED


def run(arguments: Sequence[str], interruption: Interruption) -> int:
    """Run the command that the first argument names, or print what was asked about the program."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0
    if arguments[0] == "--version":
        print(f"{NAME} {own_version()}, Python {platform.python_version()}, torch {version_of('torch')}")
        return 0
    command, *flags = arguments
    if command not in COMMANDS:
        raise UsageError(f"{command}: unknown command{near_misses(command, COMMANDS)}; valid: {', '.join(COMMANDS)}")
    refuse_shadows()
    work: Callable[[Sequence[str]], int] = importlib.import_module(f"cli.commands.{command}").run
    share = own_share()
    if share.of > 1:
        return in_step(share, work, flags, interruption)
    interruption.ready()
    return work(flags)


def in_step(share: Share, work: Callable[[Sequence[str]], int], flags: Sequence[str], own: Interruption) -> int:
    """Run a command in the first of the processes that ``torchrun`` has started; the others train along with it."""
    from experiments.run.follower import follow, leave
    from experiments.session import Session
    from training.distributed import connected

    with connected() as ours:
        own.ready()
        code = work(flags) if share.number == 0 else follow(ours, Session.from_entries)
    atexit.register(leave, code)
    return code


def interrupted(interruption: Interruption) -> int:
    print(f"\n{interruption.text}", file=sys.stderr)
    return interruption.exit_code


def open_streams() -> None:
    """Open standard streams that a daemon or cron has closed, so that no other file gets their descriptor."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  as long as the process


def flushed(code: int) -> int:
    """Flush standard output; return ``code``, or the code of a failure if it cannot be written."""
    try:
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        code = FAILED
    except OSError as error:
        print(f"Standard output: {error.strerror or error}", file=sys.stderr)
        code = BAD_INPUT
    with contextlib.suppress(OSError, ValueError):  # what is left to write is lost; Python would try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def refuse_shadows() -> None:
    """Raise ``UsageError`` if another installed package shadows one of ours, whose names are common."""
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or not Path(spec.origin).resolve().is_relative_to(home):
            found = "is missing" if spec is None else f"is shadowed by {spec.origin or name}"
            raise UsageError(f"The package {name!r} {found}; it should lie in {home}.\nRun main.py from its checkout.")


def program() -> str:
    """Return how the program was started, as one would type it."""
    return NAME if Path(sys.argv[0]).stem == NAME else "python main.py"


def own_version() -> str:
    """Return the version of a checkout as its pyproject.toml says, else of the installed package."""
    project = Path(__file__).parents[1] / "pyproject.toml"
    if not project.is_file():
        return version_of(NAME)
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


def version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def overview() -> str:
    """Return what ``main.py --help`` prints."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
    return f"""\
AdSynFlow: lottery tickets, early pruning, and stability to SGD noise

usage: {program()} <command> --flag=value ...

{commands}

{program()} <command> --help lists the command's common flags for the
chosen model and strategy, --help=all every one; --version the version.

{EXIT_CODES}"""
