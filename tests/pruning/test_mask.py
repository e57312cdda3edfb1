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
