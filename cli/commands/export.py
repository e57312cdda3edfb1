"""``export``: a ticket to take away."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.reading import read_operands
from experiments.exchange import export, find_subnetwork
from experiments.exchange.export import find_part
from experiments.plugins import load_plugins, load_recorded
from experiments.run.progress import make_reporter
from foundations.errors import UsageError
from foundations.hparams import Hparams, hp, repeatable

SUMMARY = """Writes a trained subnetwork as files that other people's code understands, with a model card. RUN_DIR is
that of a run, or of a level or branch in it."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Hparams):
    """What is written, and where to."""

    format: str = hp("safetensors")
    """safetensors; torch: a state dict as torch.nn.utils.prune has it, and a program with the architecture; onnx; or a
    plug-in's."""
    compact: bool = hp(False)
    """Take out the channels that cannot matter; the function stays the same."""
    output: str = hp("ticket")
    """A directory that does not exist yet."""
    plugin: tuple[str, ...] = repeatable()
    """A file or module with the model, where it is not one of ours; repeatable."""


def run(argv: Sequence[str]) -> int:
    """Writes the directory."""
    line = read_operands("export", "RUN_DIR --flag=value ...", SUMMARY, ExportOptions, argv)
    if line is None:
        return 0
    operands, options = line
    if len(operands) != 1:
        raise UsageError(f"export takes one run's directory, not {len(operands)}")
    reporter = make_reporter(quiet=False)
    load_plugins(options.plugin, reporter)
    if not options.plugin:
        load_recorded(find_part(Path(operands[0]))[0].store, reporter)
    found = find_subnetwork(Path(operands[0]))
    if options.compact:
        found = found.compacted()
        if not found.is_compact:
            reporter.say("--compact: nothing can be taken out, since every channel matters; exported at its full size")
    export(found, options.format, Path(options.output), reporter)
    return 0
