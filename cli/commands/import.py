"""``import``: somebody else's network as a run that others start from."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.program import program
from cli.reading import RootOptions, read_operands
from experiments.options import ImportOptions
from foundations.errors import UsageError
from foundations.hparams import hp, repeatable

SUMMARY = """Takes in somebody else's network: a file of weights, maybe with a mask, or a directory with both. Known are
what export writes, state dicts (of torch.nn.utils.prune, too), and the files of Synaptic-Flow and open_lth. No code in
them is run. Every command that trains starts from it with --imported=import_<hash>."""


@dataclass(frozen=True, kw_only=True)
class ImportFlags(RootOptions, ImportOptions):
    """What is taken in, and where it goes."""

    data_dir: str = hp("data")
    """Directory of the data sets; also $ADSYNFLOW_DATA."""
    plugin: tuple[str, ...] = repeatable()
    """A file or module with the model, where it is not one of ours; repeatable."""


def given(argv: Sequence[str], name: str) -> bool:
    """Whether a flag is given."""
    return any(token.partition("=")[0] == f"--{name}" for token in argv)


def run(argv: Sequence[str]) -> int:
    """Writes the run, says how good it is, and how to go on."""
    line = read_operands("import", "FILE --flag=value ...", SUMMARY, ImportFlags, argv)
    if line is None:
        return 0
    operands, options = line
    if len(operands) != 1:
        raise UsageError(f"import takes one file or directory, not {len(operands)}")
    # These need PyTorch, which the help does not.
    from experiments.exchange.importing import import_network
    from experiments.options import SessionOptions
    from experiments.plugins import load_plugins
    from experiments.run.progress import make_reporter
    from experiments.workspace import Workspace

    reporter = make_reporter(quiet=False)
    load_plugins(options.plugin, reporter)
    session = SessionOptions(root=options.root, data_dir=options.data_dir)
    workspace = Workspace(session, reporter, command=["import", *argv])
    with workspace.computing():
        imported = import_network(workspace, Path(operands[0]), options)
    desc, result = imported.desc, imported.store.result()
    print(f"{imported.store.path}: {result['density']:.2%} of the weights, test accuracy {result['test_accuracy']:.2%}")
    flags = [f"--imported={imported.key}", f"--model={desc.model.model}", f"--dataset={desc.data.dataset}"]
    strategy = [] if desc.mask else ["--pruning_strategy=adsynflow"]
    places = [f"--{name}={getattr(options, name)}" for name in ("root", "data_dir") if given(argv, name)]
    places += [f"--plugin={plugin}" for plugin in options.plugin]
    command = shlex.join(["lottery", *flags, f"--k={desc.step.short}", *strategy, *places])
    print(f"Start from it: {program()} {command}")
    return 0
