"""Files as other programs write them, of networks of ours."""

from pathlib import Path

import torch
from torch import Tensor, nn

from foundations.seeds import Seeds
from models import ImageShape, ModelHparams, build
from pruning import prunable

DIGITS = ImageShape(1, 8, 8, 10)
Tensors = dict[str, Tensor]


def network(name: str = "cifar_resnet_8", seed: int = 3) -> nn.Module:
    """An initialized network, with statistics of BatchNorm that are not those of an initialization."""
    model = build(ModelHparams(model=name), DIGITS, Seeds(seed).generator("elsewhere"))
    generator = torch.Generator().manual_seed(seed)
    for buffer_name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5 * buffer_name.endswith("var"))
    return model.eval()


def half_masks(model: nn.Module) -> Tensors:
    """Numbers 0 and 1 for every prunable weight, about half of each."""
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randint(2, weight.shape, generator=generator) for name, weight in prunable(model).items()}


def their_name(name: str) -> str:
    """What open_lth, and Synaptic-Flow after it, call a tensor of ``cifar_resnet_8``."""
    for ours, theirs in (
        ("layer1.0", "blocks.0"), ("layer2.0", "blocks.1"), ("layer3.0", "blocks.2"),
        ("shortcut.conv", "shortcut.0"), ("shortcut.bn", "shortcut.1"),
    ):  # fmt: skip
        name = name.replace(ours, theirs)
    return name.replace("conv1.", "conv.", name.startswith("conv1")).replace("bn1.", "bn.", name.startswith("bn1"))


def write_open_lth(folder: Path, model: nn.Module, masks: Tensors) -> None:
    """A level's directory: ``mask.pth`` with int32 numbers, a network, a report that nobody needs."""
    folder.mkdir()
    weights = {their_name(name): value.clone() for name, value in model.state_dict().items()}
    torch.save(weights, folder / "model_ep0_it0.pth")
    torch.save({their_name(name): value.int() for name, value in masks.items()}, folder / "mask.pth")
    (folder / "sparsity_report.json").write_text("{}")


def write_open_lth_checkpoint(file: Path, model: nn.Module, masks: Tensors) -> None:
    """``checkpoint.pth``, of a network that holds its masks."""
    weights = {f"model.{their_name(name)}": value for name, value in model.state_dict().items()}
    buffers = {f"mask_{their_name(name).replace('.', '___')}": value.float() for name, value in masks.items()}
    state = {"ep": 1, "it": 0, "model_state_dict": {**buffers, **weights}, "optimizer_state_dict": {"state": {}}}
    torch.save({**state, "logger": ""}, file)


def write_synaptic_flow(file: Path, model: nn.Module, masks: Tensors, *, bias_mask: float = 1.0) -> None:
    """``model.pt``: every layer's masks stand behind its tensors, and shortcuts without a layer multiply by one."""
    theirs: Tensors = {}
    for layer_name, layer in model.named_modules():
        if isinstance(layer, nn.Identity):
            theirs |= {f"{their_name(layer_name)}.weight": torch.ones(16, 1, 1)}
            theirs |= {f"{their_name(layer_name)}.weight_mask": torch.ones(16, 1, 1)}
        own = {f"{layer_name}.{name}": value for name, value in layer.state_dict().items() if "." not in name}
        theirs |= {their_name(name): value for name, value in own.items()}
        for parameter, _ in layer.named_parameters(recurse=False):
            name = f"{layer_name}.{parameter}"
            whole = torch.full(own[name].shape, bias_mask if parameter == "bias" else 1.0)
            theirs[f"{their_name(name)}_mask"] = masks.get(name, whole).float()
    torch.save(theirs, file)


def write_torch_prune(file: Path, model: nn.Module, masks: Tensors) -> None:
    """A state dict of ``torch.nn.utils.prune``."""
    from torch.nn.utils import prune

    for name, value in masks.items():
        layer, _, parameter = name.rpartition(".")
        prune.custom_from_mask(model.get_submodule(layer), parameter, value)
    torch.save(model.state_dict(), file)
