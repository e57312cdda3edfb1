"""Files of other programs, read and put into our model: by names, by order, and what is refused."""

import json
import re
from argparse import Namespace
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from experiments.exchange.matching import put_into, rename
from experiments.exchange.reading import Network, read_network, split
from foundations.errors import UsageError
from pruning import Mask, prunable
from tests.experiments.exchange.foreign_files import (
    DIGITS,
    half_masks,
    network,
    write_open_lth,
    write_open_lth_checkpoint,
    write_synaptic_flow,
    write_torch_prune,
)

IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def theirs() -> nn.Module:
    return network()


@pytest.fixture
def ours() -> nn.Module:
    return network(seed=4)


def same(one: nn.Module, other: nn.Module) -> bool:
    return torch.equal(one(IMAGES), other(IMAGES))


# Formats -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["open_lth", "open_lth's checkpoint", "synaptic_flow"])
def test_networks_of_other_names_find_their_places_by_order(
    form: str, theirs: nn.Module, ours: nn.Module, tmp_path: Path
) -> None:
    masks, place = half_masks(theirs), tmp_path / "theirs"
    write = {
        "open_lth": write_open_lth, "open_lth's checkpoint": write_open_lth_checkpoint,
        "synaptic_flow": write_synaptic_flow,
    }[form]  # fmt: skip
    write(place, theirs, masks)
    mask = put_into(ours, read_network(place), "order")
    assert mask == Mask({name: value == 1 for name, value in masks.items()})
    assert same(ours, theirs)


def test_a_state_dict_of_torchs_own_pruning_fits_by_name(
    theirs: nn.Module, ours: nn.Module, tmp_path: Path
) -> None:
    masks, dense = half_masks(theirs), theirs.state_dict()
    dense = {name: value.clone() for name, value in dense.items()}
    write_torch_prune(tmp_path / "ticket.pt", theirs, masks)
    mask = put_into(ours, read_network(tmp_path / "ticket.pt"))
    assert mask == Mask({name: value == 1 for name, value in masks.items()})
    assert all(torch.equal(value, dense[name]) for name, value in ours.state_dict().items())  # not masked yet
    mask.apply_(ours)
    assert same(ours, theirs)


def test_weights_that_are_zero_are_a_mask_where_that_is_asked_for(
    theirs: nn.Module, ours: nn.Module, tmp_path: Path
) -> None:
    mask = Mask({name: value == 1 for name, value in half_masks(theirs).items()})
    mask.apply_(theirs)
    save_file(theirs.state_dict(), tmp_path / "weights.safetensors")
    assert put_into(ours, read_network(tmp_path / "weights.safetensors")) is None
    assert put_into(ours, read_network(tmp_path / "weights.safetensors", "zeros")) == mask


def test_layers_without_a_mask_are_whole() -> None:
    model = network("mnist_lenet_4")
    weights, masks = split({**model.state_dict(), "fc1.weight_mask": torch.zeros(4, 64)})
    assert weights.keys() == model.state_dict().keys()
    assert masks.keys() == {"fc1.weight"}


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod."])
def test_what_wrappers_put_before_names_is_taken_away(wrapper: str, ours: nn.Module, theirs: nn.Module, tmp_path: Path):
    torch.save({f"{wrapper}{name}": value for name, value in theirs.state_dict().items()}, tmp_path / "a.pt")
    put_into(ours, read_network(tmp_path / "a.pt"))
    assert same(ours, theirs)


# Names ---------------------------------------------------------------------------------------------------------------


def test_the_longest_beginning_that_ends_at_a_dot_is_renamed() -> None:
    names = {"blocks.1": "layer2.0", "blocks.1.shortcut.0": "layer2.0.shortcut.conv", "conv": "conv1"}
    assert rename("blocks.1.conv1.weight", names) == "layer2.0.conv1.weight"
    assert rename("blocks.1.shortcut.0.weight", names) == "layer2.0.shortcut.conv.weight"
    assert rename("conv.weight", names) == "conv1.weight"
    assert rename("convolution.weight", names) == "convolution.weight"


def test_a_file_of_names_does_what_order_does(theirs: nn.Module, ours: nn.Module, tmp_path: Path) -> None:
    write_open_lth(tmp_path / "level_1", theirs, half_masks(theirs))
    names = {"conv": "conv1", "bn": "bn1"} | {f"blocks.{n}": f"layer{n + 1}.0" for n in range(3)}
    names |= {f"blocks.{n}.shortcut.0": f"layer{n + 1}.0.shortcut.conv" for n in (1, 2)}
    names |= {f"blocks.{n}.shortcut.1": f"layer{n + 1}.0.shortcut.bn" for n in (1, 2)}
    (tmp_path / "names.json").write_text(json.dumps(names))
    other = network(seed=5)
    mask = put_into(ours, read_network(tmp_path / "level_1"), names=str(tmp_path / "names.json"))
    assert mask == put_into(other, read_network(tmp_path / "level_1"), "order")
    assert same(ours, other)


def vgg_like(*, bias: bool) -> nn.Module:
    layers = nn.Conv2d(1, 3, 3, bias=bias), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 2)
    return nn.Sequential(*layers)


def test_biases_before_batchnorm_are_taken_out_exactly() -> None:
    """VGG of both programs has them; ours has none, since they change nothing, in training neither."""
    theirs, ours = vgg_like(bias=True), vgg_like(bias=False)
    theirs(IMAGES)  # statistics
    network = Network(dict(theirs.state_dict()), {}, True, (Path("vgg.pt"),))
    put_into(ours, network, "order")
    torch.testing.assert_close(ours.eval()(IMAGES), theirs.eval()(IMAGES))
    torch.testing.assert_close(ours.train()(IMAGES), theirs.train()(IMAGES))


# What is refused -----------------------------------------------------------------------------------------------------


def refusal(model: nn.Module, place: Path, match: str = "names", names: str = "", mask: str = "") -> str:
    with pytest.raises(UsageError) as error:
        put_into(model, read_network(place, mask), match, names)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_names_that_do_not_fit_are_said_with_near_misses_and_the_way_out(ours: nn.Module, tmp_path: Path) -> None:
    renamed = {name.replace("layer", "stage"): value for name, value in ours.state_dict().items()}
    torch.save(renamed, tmp_path / "a.pt")
    text = refusal(network(seed=6), tmp_path / "a.pt")
    assert "missing: layer1.0.conv1.weight" in text
    assert "unknown: stage1.0.conv1.weight (did you mean 'layer1.0.conv1.weight'" in text
    assert "--match=order" in text
    torch.save({**renamed, "fc.weight": torch.ones(11, 64)}, tmp_path / "a.pt")
    text = refusal(ours, tmp_path / "a.pt")
    assert "--match=order" not in text
    assert "fc.weight (11, 64) instead of (10, 64)" in text


def test_an_order_that_does_not_fit_is_refused_at_its_first_place(ours: nn.Module, tmp_path: Path) -> None:
    tensors = dict(ours.state_dict())
    first = {name: tensors.pop(name) for name in ("fc.weight", "fc.bias")}
    torch.save({**first, **tensors}, tmp_path / "a.pt")
    assert "fc.weight (10, 64) stands where --model has conv1.weight (16, 1, 3, 3)" in refusal(
        ours, tmp_path / "a.pt", "order"
    )
    torch.save(tensors, tmp_path / "a.pt")
    assert "there are 45 tensors for 47 of --model" in refusal(ours, tmp_path / "a.pt", "order")
    save_file(ours.state_dict(), tmp_path / "a.safetensors")
    assert "does not keep the order" in refusal(ours, tmp_path / "a.safetensors", "order")


def test_scale_and_shift_of_batchnorm_do_not_change_places(ours: nn.Module, tmp_path: Path) -> None:
    """Their shapes are the same; their names tell them apart."""
    tensors = dict(ours.state_dict())
    order = [name for name in tensors if name != "bn1.weight"]
    order.insert(order.index("bn1.bias") + 1, "bn1.weight")
    torch.save({name: tensors[name] for name in order}, tmp_path / "a.pt")
    assert "bn1.bias (16,) stands where --model has bn1.weight (16,)" in refusal(ours, tmp_path / "a.pt", "order")


def test_masks_of_what_cannot_be_pruned_here_are_refused(ours: nn.Module, tmp_path: Path) -> None:
    write_synaptic_flow(tmp_path / "model.pt", network(), half_masks(ours), bias_mask=0.0)
    text = refusal(ours, tmp_path / "model.pt", "order")
    assert "The mask of bn1.bias prunes what cannot be pruned here" in text


@pytest.mark.parametrize(
    ("mask", "complaint"),
    [
        ({"fc.weight": torch.full((10, 4), 0.5)}, "fc.weight holds other values than 0 and 1"),
        ({"fc.weight": torch.full((10, 4), torch.nan)}, "fc.weight holds other values than 0 and 1"),
        ({"fc.weight": torch.zeros(4, 10)}, "fc.weight has shape (4, 10) in the mask and (10, 4) in the model"),
        ({"fd.weight": torch.zeros(4, 10)}, "it is not in --model"),
    ],
)
def test_masks_that_are_none_are_refused(mask: dict, complaint: str, tmp_path: Path) -> None:
    model = network("mnist_lenet_4")
    torch.save(model.state_dict(), tmp_path / "model.pt")
    torch.save(mask, tmp_path / "mask.pt")
    assert complaint in refusal(model, tmp_path, mask=str(tmp_path / "mask.pt"))
    assert complaint in refusal(model, tmp_path)  # found beside it


@pytest.mark.parametrize(
    "odd",
    [
        torch.eye(10).to_sparse(), torch.ones(10, 4, dtype=torch.complex64), torch.ones(1).expand(10**7, 10**7),
    ],
    ids=["sparse", "complex", "far larger than its file"],
)  # fmt: skip
def test_tensors_that_are_not_plain_are_refused_unread(odd: torch.Tensor, tmp_path: Path) -> None:
    model = network("mnist_lenet_4")
    torch.save({**model.state_dict(), "fc.weight": odd}, tmp_path / "model.pt")
    assert re.search("fc.weight is no plain tensor|neither safetensors nor", refusal(model, tmp_path / "model.pt"))
    torch.save(model.state_dict(), tmp_path / "model.pt")
    torch.save({"fc.weight": odd}, tmp_path / "mask.pt")
    assert re.search("fc.weight is no plain tensor|neither safetensors nor", refusal(model, tmp_path))


def test_masks_and_weights_of_any_precision_are_read(tmp_path: Path) -> None:
    model, ours = network("mnist_lenet_4"), network("mnist_lenet_4", seed=9)
    kept = torch.arange(40).view(10, 4) % 2
    torch.save({name: value.half() for name, value in model.state_dict().items()}, tmp_path / "model.pt")
    for dtype in (torch.float8_e4m3fn, torch.bfloat16, torch.uint8, torch.bool):
        torch.save({"fc.weight": kept.to(dtype)}, tmp_path / "mask.pt")
        mask = put_into(ours, read_network(tmp_path))
        assert mask is not None
        assert torch.equal(mask["fc.weight"], kept == 1)
    torch.testing.assert_close(ours.fc.bias, model.fc.bias.half().float())


def test_a_mask_of_nothing_is_refused_and_one_of_everything_is_none(tmp_path: Path) -> None:
    model = network("mnist_lenet_4")
    torch.save(model.state_dict(), tmp_path / "model.pt")
    for value, name in ((0, "none.pt"), (1, "all.pt")):
        torch.save({name: torch.full_like(one, value) for name, one in prunable(model).items()}, tmp_path / name)
    assert refusal(model, tmp_path, mask=str(tmp_path / "none.pt")) == "The mask keeps no weight at all"
    assert put_into(model, read_network(tmp_path, str(tmp_path / "all.pt"))) is None


def test_a_safetensors_file_is_known_by_its_content(ours: nn.Module, tmp_path: Path) -> None:
    save_file(ours.state_dict(), tmp_path / "a.pt")
    assert "does not keep the order" in refusal(ours, tmp_path / "a.pt", "order")


def test_weights_that_are_not_finite_are_refused(ours: nn.Module, tmp_path: Path) -> None:
    torch.save({**ours.state_dict(), "fc.bias": torch.full((10,), torch.inf)}, tmp_path / "a.pt")
    assert refusal(ours, tmp_path / "a.pt") == "a.pt: fc.bias has values that are not finite"


def test_a_directory_has_to_have_one_network(ours: nn.Module, tmp_path: Path) -> None:
    assert "no network" in refusal(ours, tmp_path)
    for name in ("model_ep0_it0.pth", "model_ep2_it0.pth"):
        torch.save(ours.state_dict(), tmp_path / name)
    assert "2 networks, model_ep0_it0.pth, model_ep2_it0.pth" in refusal(ours, tmp_path)


def test_a_mask_alone_is_no_network(ours: nn.Module, tmp_path: Path) -> None:
    torch.save({name: value.int() for name, value in half_masks(ours).items()}, tmp_path / "mask.pth")
    assert f"give their file, and this one as --mask={tmp_path}" in refusal(ours, tmp_path / "mask.pth")


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', None])
def test_a_file_of_names_that_is_none(text: str | None, ours: nn.Module, tmp_path: Path) -> None:
    torch.save(ours.state_dict(), tmp_path / "a.pt")
    if text is not None:
        (tmp_path / "names.json").write_text(text)
    assert refusal(ours, tmp_path / "a.pt", names=str(tmp_path / "names.json")).startswith("--names=")


class Trap:
    """Unpickled carelessly, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\xff" * 64])
def test_files_that_are_something_else_and_traps(content: bytes, ours: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    assert "neither safetensors nor a plain state dict" in refusal(ours, tmp_path / "a.pth")
    torch.save({"fc.weight": Trap(tmp_path / "sprung")}, tmp_path / "b.pth")
    assert "neither safetensors nor a plain state dict" in refusal(ours, tmp_path / "b.pth")
    torch.save(ours.state_dict(), tmp_path / "c.pth")
    assert "neither safetensors" in refusal(ours, tmp_path / "c.pth", mask=str(tmp_path / "b.pth"))
    assert not (tmp_path / "sprung").exists()


# Checkpoints of other programs ---------------------------------------------------------------------------------------


@dataclass
class Settings:
    rate: float = 0.1


@pytest.mark.parametrize(
    "beside",
    [
        np.float64(0.9), np.arange(3), Namespace(lr=0.1), Settings(), Path("x"), defaultdict(list, a=[1]),
        {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": []},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@pytest.mark.parametrize("entry", ["net", "params", "state_dict", "anything"])
def test_a_network_is_found_whatever_lies_beside_it(
    entry: str, beside: object, theirs: nn.Module, ours: nn.Module, tmp_path: Path
) -> None:
    torch.save({entry: theirs.state_dict(), "epoch": 3, "optimizer": beside}, tmp_path / "a.pt")
    put_into(ours, read_network(tmp_path / "a.pt"))
    assert same(ours, theirs)


def test_of_several_networks_the_usual_one_is_taken_or_none(theirs: nn.Module, ours: nn.Module, tmp_path: Path) -> None:
    torch.save({"params_ema": ours.state_dict(), "params": theirs.state_dict()}, tmp_path / "a.pt")
    put_into(ours, read_network(tmp_path / "a.pt"))
    assert same(ours, theirs)
    torch.save({"teacher": ours.state_dict(), "student": theirs.state_dict()}, tmp_path / "a.pt")
    assert "it holds several networks, teacher, student; save one of them alone" in refusal(ours, tmp_path / "a.pt")
    both = {f"{who}.{name}": value for who in ("teacher", "student") for name, value in theirs.state_dict().items()}
    torch.save(both, tmp_path / "a.pt")
    assert "it holds several networks, teacher, student; save one of them alone" in refusal(ours, tmp_path / "a.pt")


def test_a_whole_object_is_refused_with_a_way_on(theirs: nn.Module, ours: nn.Module, tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "a.pt")
    text = refusal(ours, tmp_path / "a.pt")
    assert "found a whole object, torch.nn.modules.linear.Linear: save its state_dict()" in text


@pytest.mark.parametrize("beginning", ["_orig_mod.module.", "module._orig_mod.", "net.", "lit.net._orig_mod."])
def test_what_stands_before_all_names_is_taken_away_from_weights_and_masks(
    beginning: str, theirs: nn.Module, ours: nn.Module, tmp_path: Path
) -> None:
    masks = half_masks(theirs)
    torch.save({f"{beginning}{name}": value for name, value in theirs.state_dict().items()}, tmp_path / "model.pt")
    torch.save({f"{beginning}{name}": value for name, value in masks.items()}, tmp_path / "mask.pt")
    assert put_into(ours, read_network(tmp_path)) == Mask({name: value == 1 for name, value in masks.items()})
    assert same(ours, theirs)


def test_what_is_left_out_is_said(theirs: nn.Module, ours: nn.Module, tmp_path: Path) -> None:
    said: list[str] = []
    tensors = {f"model.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({"state_dict": {**tensors, "criterion.weight": torch.ones(10)}}, tmp_path / "a.ckpt")
    put_into(ours, read_network(tmp_path / "a.ckpt"), say=said.append)
    assert said == ["Not part of the network, and left out: criterion.weight"]
    assert same(ours, theirs)


# Masks and zeros -----------------------------------------------------------------------------------------------------


def test_zeros_that_no_mask_prunes_are_said_and_prune_beside_a_mask(ours: nn.Module, tmp_path: Path) -> None:
    theirs = network()
    mask = Mask({name: value == 1 for name, value in half_masks(theirs).items()})
    mask.apply_(theirs)  # what prune.remove leaves
    torch.save(theirs.state_dict(), tmp_path / "model.pt")
    said: list[str] = []
    assert put_into(ours, read_network(tmp_path / "model.pt"), say=said.append) is None
    [line] = said
    assert re.fullmatch(r"(49|50)\.\d% of the weights that are kept are zero; --mask=zeros prunes them", line)
    last = {**{name: torch.ones_like(kept) for name, kept in mask.items()}, "fc.weight": torch.zeros(10, 64)}
    last["fc.weight"][:5] = 1
    torch.save(last, tmp_path / "mask.pt")
    both = put_into(ours, read_network(tmp_path, "zeros"))
    assert both is not None
    assert torch.equal(both["fc.weight"], mask["fc.weight"] & (last["fc.weight"] == 1))
    assert torch.equal(both["conv1.weight"], mask["conv1.weight"])


def test_layers_that_a_mask_leaves_out_are_said(theirs: nn.Module, ours: nn.Module, tmp_path: Path) -> None:
    said: list[str] = []
    masks = half_masks(theirs)
    del masks["fc.weight"]
    torch.save(theirs.state_dict(), tmp_path / "model.pt")
    torch.save(masks, tmp_path / "mask.pt")
    mask = put_into(ours, read_network(tmp_path), say=said.append)
    assert mask is not None
    assert mask["fc.weight"].all()
    assert said == ["The mask has no entry for fc.weight: every weight there is kept"]


# Heads ---------------------------------------------------------------------------------------------------------------


def test_a_head_of_another_width_is_drawn_anew_where_that_is_asked_for(theirs: nn.Module, tmp_path: Path) -> None:
    ours, drawn, said = network(seed=4), network(seed=4), []
    foreign = {**theirs.state_dict(), "fc.weight": torch.ones(100, 64), "fc.bias": torch.ones(100)}
    torch.save(foreign, tmp_path / "a.pt")
    text = refusal(network(seed=6), tmp_path / "a.pt")
    assert "--replace_head" in text
    for match in ("names", "order"):
        put_into(ours, read_network(tmp_path / "a.pt"), match, shape=DIGITS, replace_head=True, say=said.append)
        assert torch.equal(ours.fc.weight, drawn.fc.weight)
        assert torch.equal(ours.conv1.weight, theirs.conv1.weight)
    assert said == ["The last layer is drawn anew: fc.weight, fc.bias"] * 2


def test_biases_that_are_not_before_batchnorm_in_the_model_are_refused(tmp_path: Path) -> None:
    """A structural claim is checked once by a forward pass."""

    class Skewed(nn.Sequential):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self[4](self[3](self[2](self[1](self[0](images).relu()))))

    torch.manual_seed(0)  # with other weights the ReLU may change nothing
    skewed = Skewed(*vgg_like(bias=False))
    network = Network(dict(vgg_like(bias=True).state_dict()), {}, True, (Path("vgg.pt"),))
    put_into(vgg_like(bias=False), network, "order", shape=DIGITS)
    with pytest.raises(UsageError, match="do not stand before BatchNorm"):
        put_into(skewed, network, "order", shape=DIGITS)


def test_tensors_that_the_model_shares_are_not_taken_from_two_that_differ(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
            self.b.weight = self.a.weight

    torch.save({"a.weight": torch.ones(4, 4), "b.weight": torch.zeros(4, 4)}, tmp_path / "a.pt")
    assert "in which a.weight and b.weight are one: they differ" in refusal(Tied(), tmp_path / "a.pt")


def test_a_network_without_prunable_weights_has_no_mask(tmp_path: Path) -> None:
    torch.save(nn.BatchNorm2d(2).state_dict(), tmp_path / "a.pt")
    assert put_into(nn.BatchNorm2d(2), read_network(tmp_path / "a.pt")) is None
