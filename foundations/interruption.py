"""Signals that ask a process to stop: from a terminal (SIGINT), a scheduler (SIGTERM) or a line that is cut (SIGHUP).

The command line installs an :class:`Interruption` as the handler of all three; whatever is computed finds it by
:func:`installed`. Where nothing is installed, in a notebook, signals do what they always do.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop, and what had to be saved is."""


class _Depth(threading.local):
    """How many blocks of ``deferred`` the thread is in."""

    deferred = 0


class Interruption:
    """Whether this process has been asked to stop, and what it does about it.

    While Python imports (until :meth:`ready`) it ends at once, since there is nothing to save and an exception would
    leave modules half made. Afterwards a signal raises :class:`Interrupted`, which inside :meth:`deferred` waits until
    that is left: a training asks between its steps. A second SIGINT ends the process at once.
    """

    def __init__(self, *, has_parent: bool = False) -> None:
        """
        Args:
            has_parent: another process of this program has started this one and passes on what ends itself. Ctrl-C in
                a terminal reaches both, so SIGINT is left to the parent.
        """
        self.has_parent = has_parent
        self.signal: signal.Signals | None = None
        self._ready = False
        self._depth = _Depth()

    @contextlib.contextmanager
    def install(self) -> Iterator["Interruption"]:
        """Inside, handle signals. One that the process ignores (``nohup``) stays ignored."""
        before = {}
        with contextlib.suppress(ValueError):  # only the main thread can have handlers
            for number in STOPPING:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before[number] = signal.signal(number, self._handle)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def ready(self) -> None:
        self._ready = True

    def asked(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal, as in shells; that of SIGINT where an exception has interrupted."""
        return 128 + (self.signal or signal.SIGINT)

    @property
    def text(self) -> str:
        by = f" by {self.signal.name}" if self.signal not in (None, signal.SIGINT) else ""
        return f"Interrupted{by}. The same command goes on from the last checkpoint."

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, a signal only makes :meth:`asked` true; :class:`Interrupted` is raised at the end.

        That goes for the thread that is inside. Signals come to the main thread; others ask.
        """
        self._depth.deferred += 1
        try:
            yield
        finally:
            self._depth.deferred -= 1
        if self.asked() and not self._depth.deferred:
            raise Interrupted

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.has_parent and number == signal.SIGINT:
            return
        if self.asked():
            if number == signal.SIGINT:
                self._end("Stopped at once.", number)
            return
        self.signal = signal.Signals(number)
        if not self._ready:
            self._end(self.text, number)
        if not self._depth.deferred:
            raise Interrupted

    @staticmethod
    def _end(text: str, number: int) -> NoReturn:
        with contextlib.suppress(OSError):
            os.write(2, f"\n{text}\n".encode())  # print() may be what the signal has interrupted
        os._exit(128 + number)


def installed() -> Interruption:
    """Return the one that handles this process's signals; one that is never asked where there is none."""
    handlers = (getattr(signal.getsignal(number), "__self__", None) for number in STOPPING)
    return next((owner for owner in handlers if isinstance(owner, Interruption)), Interruption())
