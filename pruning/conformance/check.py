"""Every law, one after the other."""

from foundations.errors import UsageError
from pruning.conformance.expectations import about
from pruning.conformance.laws import LAWS
from pruning.conformance.state import isolated
from pruning.strategy import Strategy


def check_strategy(strategy: Strategy) -> None:
    """Checks that ``strategy`` keeps every law that pruning relies on, on two small networks.

    Args:
        strategy: an instance, with the hyperparameters that are to be checked.

    Raises:
        AssertionError: with one line that says which law is broken, what was expected and what came.
        UsageError: if ``strategy`` is not an instance of a strategy.
    """
    if not isinstance(strategy, Strategy):
        raise UsageError(f"check_strategy: expected an instance, as in check_strategy(MyMethod()); got {strategy!r}")
    for law in LAWS:
        statement = str(law.__doc__).partition("\n")[0].rstrip(".")
        with isolated(0), about(f"{type(strategy).__name__}: {statement}"):
            law(strategy)
