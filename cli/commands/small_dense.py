"""``small_dense``: the dense networks that are as large as a subnetwork."""

from pathlib import Path

from cli.reading import Given, PluginOptions, command
from cli.terminal import print_table
from experiments.exchange.export import find_part
from experiments.plugins import load_recorded
from foundations import files
from foundations.errors import UsageError
from lottery.small_dense import Size, equally_large
from models import ImageShape, ModelHparams


@command(PluginOptions, "RUN_DIR", 1)
def run(given: Given[PluginOptions]) -> int:
    """Name the dense networks of as many weights, and of as many multiply-adds, as a subnetwork: the control that it
    has to beat, for `train --model=...`. They are of the same kind, in another width. RUN_DIR is that of a lottery
    run, or of a level or branch in it.
    """
    path = Path(given.operands[0])
    run, part = find_part(path)
    if not given.options.plugin:
        load_recorded(run.store, given.reporter)
    if not part.store.has(files.SPARSITY_REPORT):
        raise UsageError(f"{path}: has no subnetwork")
    network, report = run.store.read_json(files.NETWORK), part.store.read_json(files.SPARSITY_REPORT)
    channels, height, width = network["input_shape"]
    shape = ImageShape(channels, height, width, classes=len(network["class_names"]))
    kept = Size(sum(layer["kept"] for layer in report["layers"]), report["multiply_adds"]["kept"])
    model = ModelHparams.from_dict(network["model"])
    rows = [["", f"{part.name} of {model.model}", *sizes(kept)]]
    for measure in ("weights", "multiply_adds"):
        name, size = equally_large(model, shape, measure, getattr(kept, measure))
        rows.append([measure.replace("_", "-"), name, *sizes(size)])
    print_table(["as many", "network", "weights", "multiply-adds"], rows)
    return 0


def sizes(size: Size) -> tuple[str, str]:
    return f"{size.weights:,}", f"{size.multiply_adds:,}"
