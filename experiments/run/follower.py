"""The processes of ``torchrun`` other than the first, which only take part in training."""

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from experiments.workspace import Workspace
from foundations.interruption import STOPPING
from foundations.reporting import Reporter
from training.distributed import ProcessesLost, Together, connected, connections
from training.following import Follower, Segment
from training.loop import train

SessionOf = Callable[[Mapping[str, Any], Reporter], Workspace]
"""Makes the session that ``Workspace.entries`` has described: ``Session.from_entries``."""


def follow(ours: Together, session_of: SessionOf) -> int:
    """Take part in training until the first process dismisses this one.

    Signals are left to the first process, which stops all of them after a step.

    Returns:
        The exit code; not 0 if the first process, which says why, has ended without a word.

    Raises:
        UsageError: this machine has no such device or data.
    """
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    follower, session = Follower(ours), None
    try:
        while (message := ours.exchange()) is not None:
            if not isinstance(message, Segment):
                session = session_of(message, Reporter())
                continue
            assert session is not None, "how to compute is said before what"
            with session.computing():
                follower.train(message, session.data(message.data), train)
    except ProcessesLost as lost:
        return lost.exit_code
    return 0


def take_part(session_of: SessionOf) -> None:
    """In a program of somebody's own under ``torchrun``: connects its processes, if they are not yet.

    The first one goes on with the program, at whose end it dismisses the others. These train along, and leave the
    program here (``SystemExit``).
    """
    if connections():
        return
    stack = contextlib.ExitStack()
    ours = stack.enter_context(connected())
    if ours.share.number > 0:
        with stack:
            code = follow(ours, session_of)
        atexit.register(leave, code)
        sys.exit(code)
    atexit.register(dismiss, stack)


def leave(code: int) -> None:
    """End at once: threads of a closed connection sometimes abort a process that tears down its interpreter."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def dismiss(stack: contextlib.ExitStack) -> None:
    """Leave the connection, whether or not the others are still there."""
    with contextlib.suppress(ProcessesLost):
        stack.close()
