"""A process of ``torchrun`` beside the first one: it reads no command line and says nothing, but trains along."""

import signal

from experiments.session import Session
from foundations.interruption import STOPPING
from foundations.reporting import Reporter
from training.following import Follower, Segment
from training.loop import train
from training.processes import Together


def follow(ours: Together) -> None:
    """Trains along until the first process dismisses this one.

    Signals are left to the first process, which stops all of them after a step.

    Raises:
        ProcessesLost: the first process has ended without a word.
        UsageError: this machine has no such device or data.
    """
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    follower, session = Follower(ours), None
    while (message := ours.exchange()) is not None:
        if not isinstance(message, Segment):
            session = Session.from_entries(message, Reporter())
            continue
        assert session is not None, "how to compute is said before what"
        with session.computing():
            follower.train(message, session.data(message.data), train)
