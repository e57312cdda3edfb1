"""Further formats: a mask as a parametrization, sparse tensors, and the layout of the Hugging Face Hub."""

import json
import warnings
from pathlib import Path

import torch
from torch import Tensor

from experiments.exchange.export import Subnetwork, export_formats
from experiments.exchange.formats import agreement_of_state, plain, write_safetensors
from foundations.store import Store


@export_formats.register("parametrize")
def write_parametrized(subnetwork: Subnetwork, folder: Path) -> list[str]:
    """`ticket.pt` is a state dict as `torch.nn.utils.parametrize` has it, with masks that stay on in training.

    ```python
    import torch
    from torch.nn.utils import parametrize

    class Masked(torch.nn.Module):
        def __init__(self, mask):
            super().__init__()
            self.register_buffer("mask", mask)

        def forward(self, weight):
            return weight * self.mask

    tensors = torch.load("ticket.pt", weights_only=True)
    for name in [name for name in tensors if name.endswith(".0.mask")]:
        layer, _, parameter = name.removesuffix(".0.mask").rpartition(".parametrizations.")
        parametrize.register_parametrization(model.get_submodule(layer), parameter, Masked(tensors[name]))
    model.load_state_dict(tensors)  # any module with these names and shapes
    ```
    """
    tensors = {}
    for name, value in subnetwork.model.state_dict().items():
        if name in subnetwork.mask:
            layer, _, parameter = name.rpartition(".")
            tensors[f"{layer}.parametrizations.{parameter}.original".lstrip(".")] = value
            tensors[f"{layer}.parametrizations.{parameter}.0.mask".lstrip(".")] = subnetwork.mask[name]
        else:
            tensors[name] = value
    torch.save(plain(tensors), folder / "ticket.pt")
    again = torch.load(folder / "ticket.pt", weights_only=True)
    masks = {name: again.pop(name) for name in list(again) if name.endswith(".0.mask")}
    assert len(masks) == len(subnetwork.mask)
    weights = {name.replace(".parametrizations.", ".").removesuffix(".original"): again[name] for name in again}
    return [agreement_of_state(subnetwork, weights, "ticket.pt")]


@export_formats.register("sparse")
def write_sparse(subnetwork: Subnetwork, folder: Path) -> list[str]:
    """`sparse.pt` is a state dict with the kept weights alone: each masked one is a `torch.sparse_csr` matrix.

    The matrix of a convolution has a row for each output channel.

    ```python
    import torch

    tensors = torch.load("sparse.pt", weights_only=True)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    dense = {name: value.to_dense().view(shapes[name]) for name, value in tensors.items()}
    model.load_state_dict(dense)  # any module with these names and shapes; or multiply by tensors["fc.weight"] itself
    ```
    """
    state = plain(subnetwork.model.state_dict())
    tensors = {name: csr(value) if name in subnetwork.mask else value for name, value in state.items()}
    torch.save(tensors, folder / "sparse.pt")
    again = torch.load(folder / "sparse.pt", weights_only=True)
    weights = {name: value.to_dense().view(state[name].shape) for name, value in again.items()}
    return [agreement_of_state(subnetwork, weights, "sparse.pt")]


def csr(weight: Tensor) -> Tensor:
    """Return a weight (out, ...) as a sparse matrix (out, rest), with indices of 4 bytes instead of 8."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse", UserWarning)  # that they are new, and that nobody checks them
        matrix = weight.flatten(1).to_sparse_csr()
        rows, columns = matrix.crow_indices().int(), matrix.col_indices().int()
        return torch.sparse_csr_tensor(rows, columns, matrix.values(), matrix.shape)


@export_formats.register("huggingface")
def write_huggingface(subnetwork: Subnetwork, folder: Path) -> list[str]:
    """`config.json` and `model.safetensors` are what `PyTorchModelHubMixin` reads; `mask.safetensors` has bool tensors.

    Entries of `config.json` that the class's `__init__` names are given to it.

    ```python
    from huggingface_hub import PyTorchModelHubMixin

    class Network(YourArchitecture, PyTorchModelHubMixin):  # any module with these names and shapes
        pass

    network = Network.from_pretrained("path/to/this/directory")  # network.push_to_hub("you/name") shares it
    ```
    """
    found = write_safetensors(subnetwork, folder)
    config = {**subnetwork.network, "compact": subnetwork.is_compact, "density": subnetwork.mask.density}
    Store(folder).write_bytes("config.json", (json.dumps(config, indent=2) + "\n").encode())
    return found
