"""``import``: somebody else's network as a run that others start from."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from cli import program
from cli.reading import Given, PluginOptions, RootOptions, command
from cli.terminal import say
from experiments.exchange.importing import import_network
from experiments.options import ImportOptions, SessionOptions
from experiments.runs.directory import directories_from_environment
from experiments.workspace import Workspace
from foundations.hparams import hp


@dataclass(frozen=True, kw_only=True)
class ImportFlags(PluginOptions, RootOptions, ImportOptions):
    """What is taken in, and where it goes."""

    data_dir: str = hp("data")
    """Directory of the data sets; also $ADSYNFLOW_DATA."""


@command(ImportFlags, "FILE", 1)
def run(given: Given[ImportFlags]) -> int:
    """Import somebody else's network: a file of weights, maybe with a mask, or a directory with both. Understood are
    what export writes, state dicts (of torch.nn.utils.prune, too) however deep in a checkpoint, and the files of
    Synaptic-Flow and open_lth. No code in them is run. Every command that trains starts from it with
    --imported=import_<hash>.
    """
    options = given.options
    session = SessionOptions(root=options.root, data_dir=options.data_dir)
    workspace = Workspace(session, given.reporter, command=["import", *given.argv])
    with workspace.computing():
        imported = import_network(workspace, Path(given.operands[0]), options)
    desc, result = imported.desc, imported.store.result()
    say(f"{imported.store.path}: {result['density']:.2%} of the weights, test accuracy {result['test_accuracy']:.2%}")
    flags = [f"--imported={imported.key}", f"--model={desc.model.model}", f"--dataset={desc.data.dataset}"]
    if desc.data.normalization != ImportFlags.normalization:
        flags.append(f"--normalization={desc.data.normalization}")
    flags += [f"--k={desc.step.short}", *([] if desc.mask else ["--pruning_strategy=adsynflow"])]
    usual = {"root": ImportFlags.root, "data_dir": ImportFlags.data_dir, **directories_from_environment()}
    flags += [f"--{name}={getattr(options, name)}" for name in usual if getattr(options, name) != usual[name]]
    flags += [f"--plugin={plugin}" for plugin in options.plugin]
    say(f"Start from it: {program()} {shlex.join(['lottery', *flags])}")
    return 0
