"""Reading weights and masks from the files of other programs, under the names that they have there.

Supported are plain state dicts and safetensors files, and

- ``torch.nn.utils.prune``: ``conv.weight_orig`` beside ``conv.weight_mask``;
- a mask as a parametrization: ``conv.parametrizations.weight.original`` beside ``conv.parametrizations.weight.0.mask``;
- Synaptic-Flow (github.com/ganguli-lab/Synaptic-Flow, ``Layers/layers.py``): ``conv.weight`` beside
  ``conv.weight_mask``, likewise for biases and BatchNorm, and for shortcuts that multiply by one;
- open_lth (github.com/facebookresearch/open_lth, ``pruning/mask.py``, ``pruning/pruned_model.py``): ``mask.pth`` with
  numbers 0 and 1 under the parameters' names beside ``model_ep*_it*.pth``; in ``checkpoint.pth`` the network of
  ``model.conv.weight`` and ``mask_conv___weight``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from foundations.errors import UsageError
from training.imported import read_checkpoint

Tensors = dict[str, Tensor]

WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What torch.compile and others put anywhere into a name. Beginnings of all names, such as DataParallel's ``module.``
and Lightning's ``model.``, are found when they are matched with the names of the model."""
MASKS, NETWORKS = ("mask.safetensors", "mask.pth", "mask.pt"), ("model*.safetensors", "model*.pt*", "ticket.pt")
"""What is looked for in a directory: open_lth's, those of ``export``, those of a run."""
ZEROS = "zeros"
"""In the place of a mask's file: the weights that are zero are pruned."""


@dataclass(frozen=True)
class Network:
    """A network as its files have it.

    Args:
        weights: parameters and buffers by name, not masked, in the order of the file.
        masks: numbers 0 and 1, by the names of the weights that they are for.
        in_order: whether that order is the network's; safetensors files are sorted by name.
        files: what was read.
        zeros: whether weights that are zero are pruned, too.
    """

    weights: Tensors
    masks: Tensors
    in_order: bool
    files: tuple[Path, ...]
    zeros: bool = False


def read_network(place: Path, mask: str = "") -> Network:
    """Read the network in a file or directory.

    Args:
        place: a file of weights, maybe with masks in it, or a directory with one such file.
        mask: a file of masks, in the place of what lies in the directory or in the file of weights; or ``zeros``, by
            which weights that are zero are pruned beside what masks say.

    Raises:
        UsageError: something is not there, cannot be read, or is something else.
    """
    masks_at = Path(mask) if mask not in ("", ZEROS) else None
    if place.is_dir():
        masks_at = masks_at or next(filter(Path.is_file, (place / name for name in MASKS)), None)
        place = only_network(place)
    weights, masks = split(read(place, f"import {place}"))
    if not any(value.is_floating_point() for value in weights.values()):
        raise UsageError(f"import {place}: it holds no weights; give their file, and this one as --mask={place}")
    if masks_at is not None:
        masks = read_masks(masks_at)
    read_files = (place, *([] if masks_at is None else [masks_at]))
    return Network(weights, masks, not is_safetensors(place), read_files, zeros=mask == ZEROS)


def only_network(folder: Path) -> Path:
    found = sorted({path for pattern in NETWORKS for path in folder.glob(pattern) if path.is_file()})
    if len(found) != 1:
        what = f"{len(found)} networks, {', '.join(path.name for path in found)}" if found else "no network"
        raise UsageError(f"import {folder}: there is {what}; give the file of one, and --mask=FILE")
    return found[0]


def read_masks(path: Path) -> Tensors:
    content = read(path, f"--mask={path}")
    masks = split(content)[1] or {name.removesuffix("_mask"): value for name, value in content.items()}
    for name, value in masks.items():
        if not is_mask(value):
            raise UsageError(f"--mask={path}: {name} holds other values than 0 and 1")
    return masks


def read(path: Path, named: str) -> Tensors:
    """Return the tensors in a file; raise ``UsageError`` if one is not a plain one, of numbers that are all there."""
    tensors = unwrapped(read_checkpoint(path, named)[0])
    for name, value in tensors.items():
        plain = value.layout == torch.strided and not (value.is_complex() or value.is_quantized or value.is_meta)
        if not plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UsageError(f"{named}: {name} is no plain tensor")
    return tensors


def is_safetensors(path: Path) -> bool:
    """Return whether a file is one: its JSON begins behind eight bytes, PyTorch's begin otherwise."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def unwrapped(tensors: Mapping[str, Tensor]) -> Tensors:
    """Return the tensors without what wrappers put into their names."""
    found = {}
    for name, value in tensors.items():
        for wrapper in WRAPPERS:
            name = name.replace(wrapper, "")
        found[name] = value
    return found


def split(tensors: Mapping[str, Tensor]) -> tuple[Tensors, Tensors]:
    """Weights and masks of a state dict, both by the names of the weights.

    A tensor whose name ends in ``_mask`` is a mask only where there is a weight for it.
    """
    of_open_lth = {name: name[5:].replace("___", ".") for name in tensors if name.startswith("mask_") and "___" in name}
    if of_open_lth:
        masks = {own: tensors[name] for name, own in of_open_lth.items()}
        rest = {name: value for name, value in tensors.items() if name not in of_open_lth}
        return {name.removeprefix("model."): value for name, value in rest.items()}, masks
    masks, weights = {}, {}
    tensors = as_pruned(tensors)
    for name, value in tensors.items():
        own = name.removesuffix("_mask")
        if own != name and (own in tensors or f"{own}_orig" in tensors):
            masks[own] = value
        elif name.endswith("_orig") and f"{name.removesuffix('_orig')}_mask" in tensors:
            weights[name.removesuffix("_orig")] = value
        else:
            weights[name] = value
    return {name: value for name, value in weights.items() if not is_identity(value, masks.get(name))}, masks


def as_pruned(tensors: Mapping[str, Tensor]) -> Tensors:
    """Give masks that are parametrizations, and their weights, the names of ``torch.nn.utils.prune``."""
    names: dict[str, str] = {}
    for name in tensors:
        stem = name.removesuffix(".0.mask")
        if stem != name and f"{stem}.original" in tensors:
            own = stem.replace("parametrizations.", "")
            names |= {name: f"{own}_mask", f"{stem}.original": f"{own}_orig"}
    return {names.get(name, name): value for name, value in tensors.items()}


def is_identity(value: Tensor, mask: Tensor | None) -> bool:
    """Return whether a weight is that of a shortcut that multiplies each channel by one, as Synaptic-Flow's do."""
    if mask is None or value.dim() != 3 or value.shape[1:] != (1, 1):
        return False
    return bool((mask.double() == 1).all()) and bool((value.double() == 1).all())


def is_mask(value: Tensor) -> bool:
    numbers = value.double()  # not every type has comparisons
    return bool(((numbers == 0) | (numbers == 1)).all())
