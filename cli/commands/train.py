"""``train``: the full network."""

from collections.abc import Sequence

from cli.flags import Section
from cli.options import RunOptions
from cli.running import DataCache, make_context, parse_runs
from cli.selection import Selection
from cli.terminal import print_table
from foundations.runner import store_of
from training.runner import TrainRunner

SUMMARY = "Train the full network to the end. Other commands share this training: it is the trunk of their branches."


def sections(selection: Selection) -> list[Section]:
    """The flags of this command."""
    return selection.shared_sections()


def run(argv: Sequence[str]) -> int:
    """Trains each replicate asked for and prints a table of them."""
    parsed = parse_runs("train", SUMMARY, argv, sections, prunes=False, lists=["replicate"])
    cache, rows = DataCache(), []
    for one in parsed:
        options, desc = one.build(RunOptions), one.train_desc()
        context = make_context(options, ["train", *argv])
        store = store_of(desc, options.replicate, context)
        if options.display_output_location:
            print(store.path)
            continue
        TrainRunner(desc, options.replicate, cache.get(desc.data, context), context).run(store)
        result = store.result()
        rows.append(
            [
                str(options.replicate),
                f"{result['test_accuracy']:.2%}",
                f"{result['train_accuracy']:.2%}",
                str(store.path),
            ]
        )
    if rows:
        print_table(["replicate", "test accuracy", "train accuracy", "where"], rows)
    return 0
