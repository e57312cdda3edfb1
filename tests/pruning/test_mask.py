import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from foundations.errors import UsageError
from pruning import Mask, prunable


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))


@pytest.fixture
def mask() -> Mask:
    # The later layer first: the order is the mask's own.
    return Mask({"2.weight": torch.tensor([[True, True]]), "0.weight": torch.tensor([[True, False, False]] * 2)})


def test_counts(mask):
    assert (mask.total, mask.kept, mask.density) == (8, 4, 0.5)
    assert mask.without(["0.weight"]).density == 1


def test_ones_keeps_everything():
    model = two_layers()
    mask = Mask.ones(model)
    assert mask.density == 1
    assert {name: entry.shape for name, entry in mask.items()} == {n: w.shape for n, w in prunable(model).items()}


def test_apply_sets_pruned_weights_to_zero_and_leaves_the_rest(mask):
    model = two_layers()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mask.apply_(model)
    assert torch.equal(model[0].weight[:, 0], before["0.weight"][:, 0])
    assert torch.equal(model[0].weight[:, 1:], torch.zeros(2, 2))
    assert torch.equal(model[2].weight, before["2.weight"])
    assert torch.equal(model[0].bias, before["0.bias"])


def test_an_applier_follows_the_optimizer(mask):
    model = two_layers()
    apply = mask.applier(model)
    apply()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        apply()
        assert torch.equal(model[0].weight != 0, mask["0.weight"])


def test_applies_to_channels_last_bfloat16_and_without_recording_gradients():
    model = nn.Sequential(nn.Conv2d(2, 2, 3)).to(torch.bfloat16, memory_format=torch.channels_last)
    entry = torch.arange(36).view(2, 2, 3, 3) % 2 == 0
    Mask({"0.weight": entry}).apply_(model)
    assert torch.equal(model[0].weight != 0, entry)
    assert model[0].weight.is_leaf
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_a_mask_does_not_share_memory_with_what_it_was_made_of():
    source = torch.ones(1, 2, dtype=torch.bool)
    mask = Mask({"a": source})
    source.zero_()
    assert mask.kept == 2


def test_equality_is_by_content(mask):
    same = Mask({name: mask[name] for name in sorted(mask)})
    other = Mask({**mask, "2.weight": torch.tensor([[True, False]])})
    assert mask == same
    assert mask != other
    assert mask != mask.without(["2.weight"])


def test_round_trip_keeps_values_and_order(mask, tmp_path):
    mask.save(tmp_path / "mask.safetensors")
    loaded = Mask.load(tmp_path / "mask.safetensors")
    assert loaded == mask
    assert list(loaded) == list(mask)


def test_on_disk_are_plain_bool_tensors_and_the_same_bytes_every_time(mask, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    mask.save(first)
    mask.save(second)
    assert first.read_bytes() == second.read_bytes()
    with safe_open(first, "pt") as file:
        assert set(file.keys()) == set(mask)
        assert file.get_tensor("0.weight").dtype == torch.bool
        assert len(file.metadata()) == 1


def test_reads_masks_of_others(tmp_path):
    save_file({"b": torch.tensor([True]), "a": torch.tensor([False])}, tmp_path / "mask")
    assert Mask.load(tmp_path / "mask") == Mask({"a": torch.tensor([False]), "b": torch.tensor([True])})


def test_a_damaged_or_missing_file_is_named(tmp_path):
    path = tmp_path / "mask.safetensors"
    with pytest.raises(UsageError, match=f"{path}.*no such"):
        Mask.load(path)
    path.write_bytes(b"not a mask")
    with pytest.raises(UsageError, match=f"{path} is damaged"):
        Mask.load(path)


def test_a_truncated_file_is_damaged(mask, tmp_path):
    path = tmp_path / "mask.safetensors"
    mask.save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match="is damaged"):
        Mask.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": None}, "it has no entry for 0.weight"),
        ({"1.weight": torch.ones(1, dtype=torch.bool)}, "no prunable 1.weight"),
        ({"0.weight": torch.ones(2, 4, dtype=torch.bool)}, r"0.weight has shape \(2, 4\) in the mask and \(2, 3\)"),
    ],
)
def test_a_mask_that_does_not_fit_the_model_is_refused(mask, change, message):
    entries = {name: entry for name, entry in {**mask, **change}.items() if entry is not None}
    with pytest.raises(UsageError, match=message):
        Mask(entries).apply_(two_layers())


def test_only_bool_tensors_are_masks():
    with pytest.raises(UsageError, match=r"'a'.*float32.*expected torch.bool"):
        Mask({"a": torch.ones(2)})


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))  # no unit that is dead by chance


def train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        weight = network[0].weight
        network(torch.ones(1, 3, dtype=weight.dtype)).sum().backward()
        optimizer.step()


def test_a_held_network_is_masked_after_every_step_until_it_is_released(mask, network):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    train(network, optimizer)  # momentum moves every weight from here on
    held = mask.hold(network, optimizer)
    assert torch.equal(network[0].weight != 0, mask["0.weight"])
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
    train(network, optimizer)
    scheduler.step()
    train(network, optimizer)
    assert torch.equal(network[0].weight != 0, mask["0.weight"])
    held.release()
    train(network, optimizer)
    assert network[0].weight.all()


def test_a_held_network_may_be_moved_and_converted(mask, network):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    train(network, optimizer)
    with mask.hold(network, optimizer):
        network.double()  # new memory for the same parameters, as network.to(device) gives them
        optimizer.state.clear()
        train(network, optimizer)
        assert torch.equal(network[0].weight != 0, mask["0.weight"])
    train(network, optimizer)
    assert network[0].weight.all()


@pytest.mark.parametrize("overflow", [False, True])
def test_a_held_network_under_a_gradient_scaler(mask, network, overflow):
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    train(network, optimizer)
    mask.hold(network, optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    scaler.scale(network(torch.ones(1, 3)).sum() * (torch.inf if overflow else 1)).backward()
    before = network[0].weight.clone()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(network[0].weight, before) == overflow
    assert torch.equal(network[0].weight != 0, mask["0.weight"])


def test_gradients_of_pruned_weights_leave_the_norm_that_is_clipped(mask, network):
    held = mask.hold(network, torch.optim.SGD(network.parameters(), lr=0.1))
    network(torch.ones(1, 3)).sum().backward()
    held.mask_gradients()
    assert torch.equal(network[0].weight.grad != 0, mask["0.weight"])


def test_an_optimizer_that_cannot_hold_a_network_is_refused(mask, network):
    class Stepper:
        """Somebody's own, without hooks."""

        def step(self) -> None: ...

    with pytest.raises(UsageError, match=r"Stepper.step\(\) runs no hooks.*mask.apply_"):
        mask.hold(network, Stepper())
    with pytest.raises(UsageError, match="none of the network's masked weights"):
        mask.hold(network, torch.optim.SGD(two_layers().parameters(), lr=0.1))


def test_the_optimizer_within_a_wrapper_is_held(mask, network):
    class Wrapper:
        def __init__(self, optimizer: torch.optim.Optimizer) -> None:
            self.optimizer = optimizer

        def step(self) -> None:
            self.optimizer.step()

    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    mask.hold(network, Wrapper(optimizer))
    train(network, optimizer)
    assert torch.equal(network[0].weight != 0, mask["0.weight"])


def test_a_wrapper_trains_the_network_within_masked(mask, network):
    wrapper = nn.DataParallel(network)
    optimizer = torch.optim.SGD(wrapper.parameters(), lr=0.1)
    mask.hold(network, optimizer)
    wrapper(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert torch.equal(network[0].weight != 0, mask["0.weight"])
    with pytest.raises(UsageError, match=r"it has no entry for module\.0\.weight"):
        mask.hold(wrapper, optimizer)
