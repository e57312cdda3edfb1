"""``train``: the full network."""

from collections.abc import Sequence
from functools import partial

from cli.flags import Section
from cli.options import RunOptions
from cli.running import DataCache, make_context, parse_runs
from cli.selection import Selection
from cli.single_runs import SingleRun, complete_in_processes
from cli.terminal import print_table
from foundations.runner import store_of
from foundations.store import Store
from training.runner import TrainRunner

SUMMARY = "Train the full network to the end. Other commands share this training: it is the trunk of their branches."


def sections(selection: Selection) -> list[Section]:
    """The flags of this command."""
    return selection.shared_sections()


def run(argv: Sequence[str]) -> int:
    """Trains each replicate asked for, --jobs at a time, and prints a table of them."""
    parsed = parse_runs("train", SUMMARY, argv, sections, prunes=False, lists=["replicate"])
    cache, stores, singles = DataCache(), [], []
    for one in parsed:
        options, desc = one.build(RunOptions), one.train_desc()
        context = make_context(options, ["train", *argv])
        store = store_of(desc, options.replicate, context)
        if options.display_output_location:
            print(store.path)
            continue
        runner = TrainRunner(desc, options.replicate, cache.get(desc.data, context), context)
        stores.append((options.replicate, store))
        singles.append(single(runner, f"replicate {options.replicate}", ("train", *one.for_child()), store))
    if not singles:
        return 0
    for finish in complete_in_processes(singles, options, context.reporter):
        finish()
    print_table(["replicate", "test accuracy", "train accuracy", "where"], [cells(*each) for each in stores])
    return 0


def single(runner: TrainRunner, label: str, command: tuple[str, ...], store: Store) -> SingleRun:
    """One training, for this process or another."""
    trunk = runner.trunk
    return SingleRun(label, command, trunk, trunk.end, partial(runner.run, store), lambda: store.done)


def cells(replicate: int, store: Store) -> list[str]:
    """A line of the table."""
    result = store.result()
    return [str(replicate), f"{result['test_accuracy']:.2%}", f"{result['train_accuracy']:.2%}", str(store.path)]
