"""A point in training: so many epochs and so many iterations."""

import re

from foundations.errors import UsageError

MOST_EPOCHS, MOST_ITERATIONS = 1_000_000, 100_000_000
"""Far above any real training, and small enough that a mistyped number is found before memory is full."""


class Step(str):
    """A step of training in its normal form, e.g. ``"30ep0it"``.

    Written as ``30`` or ``30ep`` (epochs), ``2000it`` (iterations) or ``3ep50it``. It is a string, so that it
    goes into JSON and file names as it is; :meth:`iteration` turns it into a number once the number of
    iterations in an epoch is known.

    Raises:
        UsageError: if the text is none of these, or a number in it is larger than any training is long.
    """

    _FORM = re.compile(r"(?:(?P<ep>\d+)(?:ep)?)?|(?P<it>\d+)it|(?P<ep2>\d+)ep(?P<it2>\d+)it")

    def __new__(cls, text: "str | int") -> "Step":
        match = cls._FORM.fullmatch(str(text))
        if not match or not str(text):
            raise UsageError(f"{str(text)!r} is not a step; write 30 or 30ep (epochs), 2000it (iterations) or 3ep50it")
        epochs, iterations = match["ep"] or match["ep2"] or "0", match["it"] or match["it2"] or "0"
        for given, most, unit in ((epochs, MOST_EPOCHS, "epochs"), (iterations, MOST_ITERATIONS, "iterations")):
            if len(given.lstrip("0")) > len(str(most)) or int(given) > most:
                raise UsageError(f"{str(text)!r} is not a step of a training: more than {most:,} {unit}")
        return super().__new__(cls, f"{int(epochs)}ep{int(iterations)}it")

    @classmethod
    def at(cls, iteration: int, iterations_per_epoch: int) -> "Step":
        """Return the step after ``iteration`` iterations; the inverse of :meth:`iteration`."""
        epochs, iterations = divmod(iteration, iterations_per_epoch)
        return cls(f"{epochs}ep{iterations}it")

    def iteration(self, iterations_per_epoch: int) -> int:
        """Return the number of iterations done when training reaches this step."""
        epochs, iterations = self.order
        return epochs * iterations_per_epoch + iterations

    def certainly_after(self, other: "Step") -> bool:
        """Return whether this step comes after ``other`` however many iterations an epoch has."""
        mine, others = self.order, other.order
        return mine[0] >= others[0] and mine[1] >= others[1] and mine != others

    @property
    def order(self) -> tuple[int, int]:
        """Epochs and iterations: in ascending order of these steps come one after the other."""
        epochs, iterations = self.removesuffix("it").split("ep")
        return int(epochs), int(iterations)

    @property
    def short(self) -> str:
        """For people: ``30ep`` instead of ``30ep0it``."""
        return self.removesuffix("0it") if self.endswith("ep0it") else self.removeprefix("0ep")
