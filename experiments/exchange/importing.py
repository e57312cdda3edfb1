"""An imported network as a run: its weights, its mask, and how good it is."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from experiments.exchange.matching import put_into
from experiments.exchange.reading import read_network
from experiments.options import ImportOptions
from experiments.workspace import Workspace
from foundations import files, formats
from foundations.run import begin, store_of
from foundations.seeds import Seeds
from foundations.store import Store
from foundations.tensors import raw, shapes
from lottery.masks import sparsity_report, training_cost
from models import ModelHparams, build
from pruning import Mask
from training.data import DataHparams, TrainingData
from training.hparams import TrainingHparams
from training.imported import ImportDesc, Imported
from training.recipes import default_dataset
from training.segments import final_result
from training.state import Noise, TrainState
from training.trial import try_training
from training.trunk import describe_network

REPLICATE = 1
"""The only one; trainings that start from it have replicates of their own."""


def import_network(workspace: Workspace, place: Path, options: ImportOptions) -> Imported:
    """Write the network in ``place`` as the run ``import_<hash>``, unless it was imported before.

    Raises:
        UsageError: its files cannot be read, or do not fit the model and the data; nothing is written then.
    """
    network = read_network(place, options.mask)
    hparams = ModelHparams(model=options.model)
    data_hparams = DataHparams(
        dataset=options.dataset or default_dataset(options.model), normalization=options.normalization
    )  # fmt: skip
    data = workspace.data(data_hparams)
    model = build(hparams, data.shape, Seeds(REPLICATE).generator("import"))
    context = workspace.context
    mask = put_into(
        model, network, options.match, options.names, shape=data.shape, replace_head=options.replace_head,
        say=context.reporter.warn,
    )  # fmt: skip
    try_training(model.to(data.device), data, f"--model={options.model}")
    desc = ImportDesc(
        model=hparams, data=data_hparams, weights=digest(model.state_dict()), mask="" if mask is None else digest(mask),
        step=options.step,
    )  # fmt: skip
    store = store_of(desc, REPLICATE, context)
    if not store.done:
        other = build(hparams, data.shape, Seeds(REPLICATE).generator("import"))
        other.load_state_dict(model.state_dict())
        result = evaluate(other, mask, data)  # before anything is written: the network may not run on these images
        with store.lock(context.reporter):
            if not store.done:  # by another process, meanwhile
                begin(store, desc, context, data.fingerprint, describe_network(hparams, data))
                result["imported_from"] = [path.name for path in network.files]
                result["imported_sha256"] = {path.name: formats.digest(path.read_bytes()) for path in network.files}
                write(store, model, mask, data, desc, result)
    return Imported(store)


def evaluate(model: nn.Module, mask: Mask | None, data: TrainingData) -> dict[str, Any]:
    """Return how good the network is, masked; ``model`` is masked and moved to the device."""
    hparams = TrainingHparams()
    state = TrainState.fresh(model, hparams, Noise(Seeds(REPLICATE)), data.device)
    state.try_out(data)  # some networks need their images in plain memory order
    if mask is not None:
        state.prune(mask)
    return final_result(state, data, hparams, rows=())


def write(
    store: Store, model: nn.Module, mask: Mask | None, data: TrainingData, desc: ImportDesc, result: Mapping[str, Any]
) -> None:
    name = files.model(desc.step)
    store.write_tensors(name, model.state_dict())
    own = [name]
    if mask is not None:
        report = sparsity_report(model, mask, data.shape)
        cost = training_cost(report, before_k=0, after_k=0)  # of what was trained elsewhere nothing is known
        store.write_json(files.SPARSITY_REPORT, report | {"training_multiply_adds": cost})
        mask.save(store / files.MASK)
        own += [files.MASK, files.SPARSITY_REPORT]
    density = 1.0 if mask is None else mask.density
    store.finish(
        {**result, "step": desc.step, "model": name, "density": density}, files.DESC, files.NETWORK, *own
    )  # fmt: skip


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the first 12 hex digits of the sha256 of tensors: names, types, shapes, bytes."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    sha256 = hashlib.sha256(json.dumps(shapes(plain), sort_keys=True).encode())
    for part in raw(plain):
        sha256.update(part)
    return sha256.hexdigest()[:12]
