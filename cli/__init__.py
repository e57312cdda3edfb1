"""The command line. Importing it imports neither torch nor any package of ours that does."""

import atexit
import contextlib
import errno
import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cli.program import EXIT_CODES, program, version
from foundations.errors import UsageError, near_misses, shorten
from foundations.interruption import Interruption
from foundations.processes import Share, end_with_parent, own_share

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
    "diff": "compare two runs: hyperparameters, versions, results, weights",
    "available": "list strategies, models, data sets, recipes and so on",
    "completion": "print a script that lets a shell complete flags",
    "verify": "check all files of runs against their checksums",
    "check": "compute a published number again: theirs, ours, pass or fail",
    "task": "one part of an experiment, described by JSON",
}

FAILED, BAD_INPUT = 1, 2
PACKAGES = ("foundations", "models", "pruning", "training", "lottery", "stability", "experiments")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit code: 0; 1 for a defect or a training that has diverged; 2 for bad input; when interrupted 130
        (SIGINT), 143 (SIGTERM) or 129 (SIGHUP).
    """
    open_streams()
    with Interruption(has_parent=end_with_parent()).install() as interruption:
        code = run(list(sys.argv[1:] if argv is None else argv), interruption)
    return flushed(code)


def open_streams() -> None:
    """Open standard streams that a daemon or cron has closed, so that no file of ours gets their number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  as long as the process


def flushed(code: int) -> int:
    """Write out what was printed; return the exit code, that of a failure where it cannot be written."""
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


def run(arguments: Sequence[str], interruption: Interruption) -> int:
    """The same, with signal handlers."""
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(overview())
            return 0
        if arguments[0] == "--version":
            print(version())
            return 0
        command, *flags = arguments
        if command not in COMMANDS:
            raise UsageError(
                f"{command}: unknown command{near_misses(command, COMMANDS)}; valid: {', '.join(COMMANDS)}"
            )
        refuse_shadows()
        commands = importlib.import_module(f"cli.commands.{command}")
        share = own_share()
        if share.of > 1:
            return in_step(share, commands.run, flags, interruption)
        interruption.ready()
        code: int = commands.run(flags)
        return code
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return interrupted(interruption)
    except SystemExit as error:
        print(f"A plug-in or a library has called sys.exit({error.code!r}).", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        return FAILED
    except MemoryError:
        print("There is not enough memory. The same command goes on from the last checkpoint.", file=sys.stderr)
        return FAILED
    except OSError as error:  # no permission, no space
        of_output = error.filename is None and error.errno in (errno.ENOSPC, errno.EIO, errno.EBADF)
        where = "Standard output" if of_output else error.filename
        print(shorten(f"{where}: {error.strerror}" if where else str(error)), file=sys.stderr)
        print("Once this is put right, the same command goes on from the last checkpoint.", file=sys.stderr)
        return BAD_INPUT
    except Exception:
        if interruption.asked():  # which a library has made an error of its own of
            return interrupted(interruption)
        traceback.print_exc()
        print("\nA defect of the program or a plug-in. The same command resumes.", file=sys.stderr)
        return FAILED


def in_step(share: Share, run: Callable[[Sequence[str]], int], flags: Sequence[str], interruption: Interruption) -> int:
    """Runs a command in the first of the processes that ``torchrun`` has started; the others train along with it."""
    from experiments.run.follower import follow
    from experiments.session import Session
    from training.distributed import connected

    with connected() as ours:
        interruption.ready()
        code = run(flags) if share.number == 0 else follow(ours, Session.from_entries)
    atexit.register(leave, code)
    return code


def leave(code: int) -> None:
    """Ends at once: threads of a closed connection sometimes abort a process that tears down its interpreter."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def interrupted(interruption: Interruption) -> int:
    """Says how to go on; the exit code."""
    print(f"\n{interruption.text}", file=sys.stderr)
    return interruption.exit_code


def refuse_shadows() -> None:
    """Raises ``UsageError`` if Python would import another package of one of our names, which are common ones."""
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or not Path(spec.origin).resolve().is_relative_to(home):
            found = "is missing" if spec is None else f"is another one, {spec.origin or name}"
            raise UsageError(f"The package {name!r} {found}; it should lie in {home}.\nRun main.py from its checkout.")


def overview() -> str:
    """What ``main.py --help`` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "AdSynFlow: lottery tickets, early pruning, and stability to SGD noise",
            "",
            f"usage: {program()} <command> --flag=value ...",
            "",
            *lines,
            "",
            f"{program()} <command> --help lists the command's common flags for the",
            "chosen model and strategy, --help=all every one; --version the version.",
            "",
            EXIT_CODES,
        ]
    )
