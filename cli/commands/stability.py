"""``stability``: from which step on is a network stable to SGD noise?"""

from collections.abc import Sequence

from cli import FAILED
from cli.running import DataCache
from cli.stability_results import print_stability_results, write_stability_report
from cli.stability_runs import complete, requests
from stability import StabilityRunner


def run(argv: Sequence[str]) -> int:
    """Computes each analysis asked for, prints one table, draws the figures; 1 if --k=auto found no stable k."""
    cache = DataCache()
    asked = requests(argv, cache)
    if asked is None:
        return 0
    if asked[0].run.display_output_location:
        print("\n".join(dict.fromkeys(str(request.runner().store.path) for request in asked)))
        return 0
    fixed = [(request, request.runner()) for request in asked if not request.auto]
    for request, runner in fixed:
        if request.options.child:
            runner.train_child(request.options.child)
            return 0
    complete(fixed)
    finished: list[StabilityRunner] = [runner for _, runner in fixed]
    code = 0
    for request in asked:
        if request.auto:
            found, analyses = request.search()
            finished += analyses
            code = code if found else FAILED
    print_stability_results(finished)
    if asked[0].options.report:
        write_stability_report(finished, asked[0].context)
    return code
