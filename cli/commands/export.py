"""``export``: a ticket to take away."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.reading import PluginOptions, read
from experiments.exchange import export, find_subnetwork
from experiments.exchange.export import find_part
from experiments.plugins import load_recorded
from experiments.run.progress import make_reporter
from foundations.hparams import hp

SUMMARY = """Writes a trained subnetwork as files that other people's code understands, with a model card. RUN_DIR is
that of a run, or of a level or branch in it."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions(PluginOptions):
    """What is written, and where to."""

    format: str = hp("safetensors")
    """safetensors; torch: a state dict as torch.nn.utils.prune has it, and a program with the architecture;
    parametrize: one as torch.nn.utils.parametrize has it; sparse: one of torch.sparse tensors; huggingface:
    config.json and safetensors; onnx; or a plug-in's."""
    compact: bool = hp(False)
    """Take out the channels that cannot matter; the function stays the same."""
    output: str = hp("ticket")
    """A directory that does not exist yet."""


def run(argv: Sequence[str]) -> int:
    line = read("export", SUMMARY, ExportOptions, argv, "RUN_DIR", 1)
    if line is None:
        return 0
    [path], options = [Path(operand) for operand in line[0]], line[1]
    reporter = make_reporter(quiet=False)
    if not options.plugin:
        load_recorded(find_part(path)[0].store, reporter)
    found = find_subnetwork(path)
    if options.compact:
        found = found.compacted()
        if not found.is_compact:
            reporter.say("--compact: nothing can be taken out, since every channel matters; exported at its full size")
    export(found, options.format, Path(options.output), reporter)
    return 0
