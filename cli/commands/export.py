"""``export``: a trained subnetwork as files for other programs."""

from dataclasses import dataclass
from pathlib import Path

from cli.reading import Given, PluginOptions, command
from experiments.exchange import export, find_subnetwork
from experiments.exchange.export import find_part
from experiments.plugins import load_recorded
from foundations.hparams import hp


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


@command(ExportOptions, "RUN_DIR", 1)
def run(given: Given[ExportOptions]) -> int:
    """Write a trained subnetwork as files that other people's code understands, with a model card. RUN_DIR is
    that of a run, or of a level or branch in it.
    """
    path, options, reporter = Path(given.operands[0]), given.options, given.reporter
    if not options.plugin:
        load_recorded(find_part(path)[0].store, reporter)
    found = find_subnetwork(path)
    if options.compact:
        found = found.compacted()
        if not found.is_compact:
            reporter.say("--compact: nothing can be taken out, since every channel matters; exported at its full size")
    export(found, options.format, Path(options.output), reporter)
    return 0
