"""Laws of the training loop: what stops, is saved and goes on ends where what never stopped ends."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foundations.seeds import Seeds
from foundations.store import Store
from pruning import Mask, prunable
from training import loop
from training.data import DeviceData
from training.hparams import TrainingHparams
from training.loop import train
from training.state import Noise, TrainState

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adamw")
Start = Callable[..., TrainState]


def hyperparameters(optimizer: str = "momentum", **others: object) -> TrainingHparams:
    lr = 0.01 if optimizer.startswith("adam") else 0.05
    return TrainingHparams(optimizer=optimizer, lr=lr, weight_decay=0.01, training_steps="2ep", **others)  # type: ignore[arg-type]


def everything(state: TrainState) -> dict[str, Tensor]:
    """Every tensor that the next step depends on, by name."""
    tensors = {f"model.{name}": value for name, value in state.model.state_dict().items()}
    for index, slots in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in slots.items() if value is not None}
    return {**tensors, "running_metrics": state.running_metrics, "iteration": torch.tensor(state.iteration)}


def assert_same_bits(first: TrainState, second: TrainState) -> None:
    ours, others = everything(first), everything(second)
    assert ours.keys() == others.keys()
    assert [name for name in ours if not torch.equal(ours[name], others[name])] == []


@pytest.mark.parametrize("stop", [5, 7], ids=["after an epoch", "within an epoch"])
@pytest.mark.parametrize("model", ["mnist_lenet_16", "cifar_resnet_8", "cifar_resnet_8_4"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_stopping_saving_and_going_on_changes_no_bit(
    start: Start, small_data: DeviceData, tmp_path: Path, optimizer: str, model: str, stop: int
) -> None:
    hparams, store = hyperparameters(optimizer), Store(tmp_path)
    whole = start(hparams, model)
    train(whole, small_data, hparams, until=10)

    first = start(hparams, model)
    train(first, small_data, hparams, until=stop)
    store.write_state("checkpoint.safetensors", first.capture())
    store.write_tensors("model.safetensors", first.model.state_dict())
    store.write_state("rest.pt", first.training_state())

    from_checkpoint = start(hparams, model)
    from_checkpoint.restore(store.read_state("checkpoint.safetensors"))
    train(from_checkpoint, small_data, hparams, until=10)
    assert_same_bits(from_checkpoint, whole)

    from_plain_tensors = start(hparams, model)
    from_plain_tensors.restore({**store.read_state("rest.pt"), "model": store.read_tensors("model.safetensors")})
    train(from_plain_tensors, small_data, hparams, until=10)
    assert_same_bits(from_plain_tensors, whole)


def test_momentum_has_the_memory_format_of_the_weights(start: Start, small_data: DeviceData, tmp_path: Path) -> None:
    """Channels-last; otherwise a restored run would round differently."""
    hparams = hyperparameters()
    state = start(hparams, "cifar_resnet_8")
    train(state, small_data, hparams, until=1)
    Store(tmp_path).write_state("checkpoint.safetensors", state.capture())
    restored = start(hparams, "cifar_resnet_8")
    restored.restore(Store(tmp_path).read_state("checkpoint.safetensors"))
    for some in (state, restored):
        wide = [weight for weight in some.model.parameters() if weight.ndim == 4 and weight.shape[1] > 1]
        momenta = [some.optimizer.state[weight]["momentum_buffer"] for weight in wide]
        assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (*wide, *momenta))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pruned_weights_stay_zero_after_every_step(start: Start, small_data: DeviceData, optimizer: str) -> None:
    hparams = hyperparameters(optimizer)
    state = start(hparams)
    train(state, small_data, hparams, until=3)  # from here momentum pushes every weight
    mask = Mask({name: torch.arange(w.numel()).view(w.shape) % 3 == 0 for name, w in prunable(state.model).items()})
    state.prune(mask)
    for iteration in range(3, 9):
        train(state, small_data, hparams, until=iteration + 1)
        for name, weight in prunable(state.model).items():
            assert not weight[~mask[name]].any()
            assert weight[mask[name]].ne(0).float().mean() > 0.8


def test_a_full_mask_changes_nothing(start: Start, small_data: DeviceData) -> None:
    """So level 0 and the dense child of a stability run with the trunk's noise are the trunk."""
    hparams = hyperparameters()
    plain, masked = start(hparams), start(hparams)
    train(plain, small_data, hparams, until=10)
    train(masked, small_data, hparams, until=4)
    masked.prune(Mask.ones(masked.model))
    train(masked, small_data, hparams, until=10)
    assert_same_bits(plain, masked)


def every_third(state: TrainState, first: int) -> Mask:
    return Mask({n: torch.arange(w.numel()).view(w.shape) % 3 == first for n, w in prunable(state.model).items()})


@pytest.mark.parametrize("pruned_before", [False, True], ids=["into a fresh state", "into one with the first mask"])
def test_the_mask_is_part_of_the_state(
    start: Start, small_data: DeviceData, tmp_path: Path, pruned_before: bool
) -> None:
    hparams, store = hyperparameters(), Store(tmp_path)
    whole, first, second = (start(hparams) for _ in range(3))
    for state, until in ((whole, 10), (first, 7)):
        state.prune(every_third(state, 0))
        train(state, small_data, hparams, until=4)
        state.set_mask(every_third(state, 1))
        train(state, small_data, hparams, until=until)
    store.write_state("checkpoint.safetensors", first.checkpoint())
    if pruned_before:
        second.prune(every_third(second, 0))
    second.restore(store.read_state("checkpoint.safetensors"))
    assert second.mask == every_third(second, 1)
    train(second, small_data, hparams, until=10)
    assert_same_bits(second, whole)


def test_a_checkpoint_has_the_mask_only_if_it_has_changed(start: Start) -> None:
    """Otherwise it lies in the run's own file, and the checkpoint is that of earlier versions."""
    plain, state = start(hyperparameters()), start(hyperparameters())
    state.prune(every_third(state, 0))
    assert state.checkpoint().keys() == plain.checkpoint().keys() == plain.capture().keys()
    assert Mask(state.capture()["mask"]) == every_third(state, 0)
    before = state.checkpoint()
    state.set_mask(every_third(state, 1))
    assert Mask(state.checkpoint()["mask"]) == every_third(state, 1)
    state.restore(before)
    assert state.mask == every_third(state, 1), "what has no mask leaves that of the state"


def test_children_of_one_noise_end_equal_and_of_two_noises_apart(start: Start, small_data: DeviceData) -> None:
    hparams, seeds = hyperparameters(), Seeds(1)
    ends = []
    for noise in (Noise(seeds, child=(1,)), Noise(seeds, child=(1,)), Noise(seeds, child=(2,)), Noise(seeds)):
        state = start(hparams, noise=noise)
        train(state, small_data, hparams, until=7)
        ends.append(everything(state)["model.fc1.weight"])
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])
    assert not torch.equal(ends[0], ends[3])


def test_noise_differs_by_child_epoch_and_replicate_in_order_and_augmentation(small_data: DeviceData) -> None:
    noises = [
        (Noise(Seeds(1)), 0), (Noise(Seeds(1)), 1), (Noise(Seeds(2)), 0),
        (Noise(Seeds(1), (1,)), 0), (Noise(Seeds(1), (2,)), 0), (Noise(Seeds(1), (1,)), 1),
    ]  # fmt: skip
    plans = [small_data.epoch(noise.epoch(epoch)) for noise, epoch in noises]
    for choices in ([plan[:, column] for plan in plans] for column in (0, 1, 3)):
        assert len({tuple(choice.tolist()) for choice in choices}) == len(noises)
    assert len({noise.step(7) for noise in (Noise(Seeds(1)), Noise(Seeds(1), (1,)), Noise(Seeds(1), (2,)))}) == 3


class WithDropout(nn.Module):
    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        self.hidden, self.drop, self.fc = nn.Linear(pixels, 16), nn.Dropout(0.5), nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.fc(self.drop(self.hidden(x.flatten(1)).relu())))


def with_dropout() -> WithDropout:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return WithDropout(64, 10)


def test_dropout_draws_what_it_draws_after_manual_seed(
    start: Start, small_data: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    hparams, states = hyperparameters(), []
    for seed in (loop.seed_global, lambda seed, device: torch.manual_seed(seed)):
        monkeypatch.setattr(loop, "seed_global", seed)
        states.append(start(hparams, with_dropout()))
        train(states[-1], small_data, hparams, until=7)
    assert_same_bits(*states)


def test_dropout_resumes_bit_for_bit_and_leaves_the_global_generator_alone(
    start: Start, small_data: DeviceData, tmp_path: Path
) -> None:
    hparams = hyperparameters()
    before = torch.get_rng_state()
    whole, first, second = (start(hparams, with_dropout()) for _ in range(3))
    train(whole, small_data, hparams, until=10)
    train(first, small_data, hparams, until=7)
    Store(tmp_path).write_state("c.pt", first.capture())
    torch.rand(3)  # whatever else has drawn
    second.restore(Store(tmp_path).read_state("c.pt"))
    train(second, small_data, hparams, until=10)
    assert_same_bits(whole, second)
    torch.set_rng_state(before)
    train(start(hparams, with_dropout()), small_data, hparams, until=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_bf16_trains_float32_weights_in_other_arithmetic(start: Start, small_data: DeviceData) -> None:
    ends = {}
    for precision in ("fp32", "bf16"):
        hparams = hyperparameters(precision=precision)
        state = start(hparams, "cifar_resnet_8_4")
        train(state, small_data, hparams, until=3)
        ends[precision] = state.model.state_dict()["fc.weight"]
    assert ends["bf16"].dtype == torch.float32
    assert not torch.equal(ends["fp32"], ends["bf16"])
    torch.testing.assert_close(ends["fp32"], ends["bf16"], rtol=0.1, atol=0.05)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_step_computes_with_the_weights_of_the_step_before(
    start: Start, small_data: DeviceData, precision: str
) -> None:
    hparams = hyperparameters(precision=precision)
    at_once, one_by_one = start(hparams, "cifar_resnet_8_4"), start(hparams, "cifar_resnet_8_4")
    train(at_once, small_data, hparams, until=4)
    for stop in (1, 2, 3, 4):  # each call computes with whatever it casts anew
        train(one_by_one, small_data, hparams, until=stop)
    assert_same_bits(at_once, one_by_one)


@pytest.mark.parametrize(
    ("frozen", "still"),
    [
        ("batchnorm_frozen", lambda name: ".bn" in name or name.startswith("bn") or "shortcut.1" in name),
        ("output_frozen", lambda name: name.startswith("fc.")),
    ],
)
def test_frozen_parameters_do_not_move_and_the_others_do(
    start: Start, small_data: DeviceData, frozen: str, still: Callable[[str], bool]
) -> None:
    hparams = hyperparameters()
    state = start(hparams, "cifar_resnet_8_4", **{frozen: True})
    before = {name: value.clone() for name, value in state.model.named_parameters()}
    train(state, small_data, hparams, until=3)
    moved = {name for name, value in state.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if not still(name)}


def test_the_loss_is_smoothed_and_the_running_metrics_hold_its_sum(start: Start, small_data: DeviceData) -> None:
    """Smoothing e: (1 - e) times the cross entropy, plus e times the mean of -log p over the classes."""
    hparams = hyperparameters("sgd", label_smoothing=0.3)
    state = start(hparams)
    inputs, labels = small_data.fetch(next(small_data.batches(state.noise.epoch(0), 0, 1)))
    with torch.no_grad():
        log_p = state.model(inputs).log_softmax(1)
    right = log_p[torch.arange(len(labels)), labels]
    train(state, small_data, hparams, until=1)
    loss_sum, correct, size = state.running_metrics.tolist()
    assert loss_sum == pytest.approx(float((-0.7 * right - 0.3 * log_p.mean(1)).sum()), rel=1e-5)
    assert (correct, size) == (int((log_p.argmax(1) == labels).sum()), 64)


def test_the_running_metrics_begin_anew_with_each_epoch(start: Start, small_data: DeviceData) -> None:
    hparams = hyperparameters()
    state = start(hparams)
    sizes = []
    for until in (2, 5, 6):
        train(state, small_data, hparams, until=until)
        sizes.append(int(state.running_metrics[2]))
    assert sizes == [128, 288, 64]


def test_progress_counts_every_step_once(start: Start, small_data: DeviceData) -> None:
    hparams, advanced = hyperparameters(), []
    state = start(hparams)
    train(state, small_data, hparams, until=3, advance=advanced.append)
    train(state, small_data, hparams, until=12, advance=advanced.append)
    assert sum(advanced) == 12
