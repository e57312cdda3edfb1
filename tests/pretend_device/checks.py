"""What the program does on an accelerator, on a pretended one; ``test_pretend_device`` runs it in a process of its own.

The device refuses to mix devices, and fused operations on tensors in different memory orders. Where the host waits for
it stands in the tables here: a wait more than these, or one that is gone, is a failure.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cli import main
from foundations.reporting import Reporter
from foundations.seeds import Seeds
from foundations.store import Store
from models import ModelHparams, build
from pruning import Mask, PruningHparams, prune, strategies
from stability.distances import layer_distances, outputs, weight_distances
from stability.interpolation import Examples, Line, Meter, walk
from tests.pretend_device.device import Misaligned, Mixed, PretendTensor, register
from training import loop
from training import state as training_state
from training.data import DataHparams, DeviceData, load
from training.hparams import TrainingHparams
from training.loop import evaluate, train
from training.state import Noise, TrainState

CPU = torch.device("cpu")
DEVICE = register()
DATA = DataHparams(dataset="digits", batch_size=64, subsample_fraction=0.2)
HPARAMS = TrainingHparams(optimizer="momentum", lr=0.05, weight_decay=5e-4, training_steps="2ep")
STEPS = 7  # the second epoch has the last two; the fifth has a smaller batch
TO_DEVICE, TO_HOST, VALUE, SIZE = "a copy to the device", "a copy to the host", "a value", "the size of a result"

FRESH = f"training/state.py fresh: {TO_DEVICE}"
RESTORED = {f"training/state.py restore: {TO_DEVICE}", f"training/optimizers.py load_state: {TO_DEVICE}"}
EPOCH = {f"training/data/device.py epoch: {TO_DEVICE}": 1}  # order, crops and flips of all its images
TWO_EPOCHS = {place: 2 * times for place, times in EPOCH.items()}
PRUNED = {
    f"pruning/prune.py highest: {VALUE}",
    f"pruning/prune.py highest: {SIZE}",
    f"pruning/prune.py kth_highest: {SIZE}",
    f"pruning/prune.py say_ties: {TO_HOST}",  # once, of the first scores
    f"pruning/computed.py fill: {TO_DEVICE}",  # once, to see what is multiplied
    f"pruning/scorer.py checked: {VALUE}",
    f"pruning/mask.py kept: {VALUE}",
    f"training/data/batches.py pruning_batches: {TO_DEVICE}",
}
OF_THEIR_OWN = {  # of these strategies
    "adsynflow": {f"pruning/weight_use.py other: {TO_DEVICE}", f"pruning/flow.py layers: {TO_HOST}"},  # the mean image
    "synflow": {f"pruning/flow.py layers: {TO_HOST}"},
    "synflow_l2": {f"pruning/flow.py layers: {TO_HOST}"},
    "ntk_sap": {f"pruning/methods/ntk_sap.py {part}: {TO_DEVICE}" for part in ("normal", "drawn")},
    **{
        name: {f"pruning/methods/random.py score: {TO_DEVICE}"}
        for name in ("random", "random_erk", "rigl", "set", "static", "granet", "srigl")
    },
}


@pytest.fixture(scope="module")
def data() -> DeviceData:
    """288 digits on the device, 5 steps an epoch, cropped and flipped."""
    return data_on(DEVICE)


def data_on(device: torch.device) -> DeviceData:
    return DeviceData(replace(load(DATA, Path(), Reporter()), crop_padding=1, flip=True), DATA, device)


def state_on(device: torch.device, hparams: TrainingHparams = HPARAMS, model: str = "cifar_resnet_8") -> TrainState:
    network = build(ModelHparams(model=model), data_on(CPU).shape, Seeds(1).generator("initialization"))
    state = TrainState.fresh(network, hparams, Noise(Seeds(1)), device)
    state.tried_out = True  # as the trunk says of the framework's own networks
    return state


def half(state: TrainState) -> Mask:
    """Half of the weights, and of the channels that lead out of each layer but the last."""
    generator = torch.Generator().manual_seed(0)
    mask = {name: torch.rand(entry.shape, generator=generator) < 0.7 for name, entry in Mask.ones(state.model).items()}
    for entry in list(mask.values())[:-1]:
        entry[::3] = False
    return Mask(mask)


def waits() -> AbstractContextManager[Counter[str]]:
    """The waits inside."""
    return PretendTensor.waits.during()


# The device finds what it is there for ---------------------------------------------------------------------------


def test_labels_left_on_the_host_are_refused() -> None:
    data = data_on(DEVICE)
    data.device_labels["train"] = data.labels["train"]
    with pytest.raises(Mixed, match=r"index.*: a tensor on cpu"):
        train(state_on(DEVICE), data, HPARAMS, until=1)


def test_a_generator_of_the_host_is_refused() -> None:
    with pytest.raises(Mixed, match="a generator on cpu"):
        torch.empty(3, device=DEVICE).normal_(generator=torch.Generator())


def test_a_value_asked_for_in_a_step_is_counted(data: DeviceData, monkeypatch: pytest.MonkeyPatch) -> None:
    convert = loop.convert

    def waiting(inputs: Tensor, memory_format: torch.memory_format) -> Tensor:
        return convert(inputs, memory_format) * inputs.isfinite().all().item()

    monkeypatch.setattr(loop, "convert", waiting)
    state = state_on(DEVICE)
    with waits() as seen:
        train(state, data, HPARAMS, until=2)
    assert seen == {**EPOCH, f"training/loop.py compute: {VALUE}": 2}


def test_a_result_sized_by_values_is_counted() -> None:
    tensor = torch.arange(4, device=DEVICE)
    with waits() as seen:
        tensor[tensor > 1]
        tensor[tensor > 1] = torch.tensor([5, 6]).to(DEVICE)
        tensor[tensor > 1] = 0  # has no such result
    assert sum(seen.values()) == 3  # one of them is the copy to the device
    assert tensor.tolist() == [0, 1, 0, 0]


def test_optimizer_state_in_another_memory_order_is_refused(data: DeviceData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_state, "load_state", lambda optimizer, state: optimizer.load_state_dict(state))
    state = state_on(DEVICE)
    train(state, data, HPARAMS, until=1)
    captured = state.capture()
    for entries in captured["optimizer"]["state"].values():
        entries["momentum_buffer"] = entries["momentum_buffer"].contiguous()
    state.restore(captured)
    with pytest.raises(Misaligned, match="_fused_sgd_"):
        train(state, data, HPARAMS, until=2)


# Training --------------------------------------------------------------------------------------------------------


def test_batches_are_those_of_a_cpu(data: DeviceData) -> None:
    noise, at_home = Noise(Seeds(1)), data_on(CPU)
    with waits() as seen:
        batches = [data.fetch(batch) for batch in data.batches(noise.epoch(0), 0, 5)]
    assert seen == EPOCH
    expected = map(at_home.fetch, at_home.batches(noise.epoch(0), 0, 5))
    for (inputs, labels), (images, classes) in zip(batches, expected, strict=True):
        assert (inputs.device.type, labels.device.type) == (DEVICE.type, DEVICE.type)
        assert torch.equal(inputs.cpu(), images)
        assert torch.equal(labels.cpu(), classes)


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov", "adam", "adamw"])
def test_no_step_waits(optimizer: str, data: DeviceData) -> None:
    hparams = replace(HPARAMS, optimizer=optimizer)
    state = state_on(DEVICE, hparams)
    state.prune(half(state))
    with waits() as seen:
        train(state, data, hparams, until=STEPS)
    assert seen == TWO_EPOCHS


def test_steps_are_those_of_a_cpu(data: DeviceData) -> None:
    state, at_home = state_on(DEVICE), state_on(CPU)
    train(state, data, HPARAMS, until=STEPS)
    train(at_home, data_on(CPU), HPARAMS, until=STEPS)
    assert_alike(state.tensors(), at_home.tensors())


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_a_checkpoint_goes_to_a_cpu_and_back(optimizer: str, data: DeviceData, tmp_path: Path) -> None:
    hparams, store = replace(HPARAMS, optimizer=optimizer), Store(tmp_path)
    straight, at_home, returned = state_on(DEVICE, hparams), state_on(CPU, hparams), state_on(DEVICE, hparams)
    straight.prune(half(straight))
    train(straight, data, hparams, until=2)
    with waits() as seen:
        store.write_state("to_the_cpu.pt", straight.capture())
    assert seen.keys() == {f"foundations/tensors.py encode_tensors: {TO_HOST}"}
    at_home.restore(store.read_state("to_the_cpu.pt"))
    store.write_state("and_back.pt", at_home.capture())
    train(at_home, data_on(CPU), hparams, until=3)
    with waits() as seen:
        returned.restore(store.read_state("and_back.pt"))
    assert seen.keys() == RESTORED | {f"pruning/mask.py __init__: {TO_DEVICE}"}
    for state in (straight, returned):
        train(state, data, hparams, until=4)
    for name, tensor in straight.tensors().items():
        assert torch.equal(returned.tensors()[name].cpu(), tensor.cpu()), name


def test_a_compact_network_trains_like_the_masked_one(data: DeviceData) -> None:
    masked, compact = state_on(DEVICE), state_on(DEVICE)
    for state in (masked, compact):
        train(state, data, HPARAMS, until=2)
        state.prune(half(state))
    compact.compact(HPARAMS)
    with waits() as seen:
        train(compact, data, HPARAMS, until=STEPS)
        captured = compact.capture()
    assert seen == TWO_EPOCHS
    train(masked, data, HPARAMS, until=STEPS)
    assert_alike(captured["model"], masked.tensors())
    again = state_on(DEVICE)
    again.prune(half(again))
    again.compact(HPARAMS)
    again.restore(captured)
    assert_alike(again.tensors(), masked.tensors())


# Pruning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(strategies))
def test_every_strategy_finds_the_mask_of_a_cpu(name: str, data: DeviceData) -> None:
    hparams = PruningHparams(**{**strategies.get(name).pruning_defaults(), "pruning_iterations": 2})

    def mask_on(device: torch.device, data: DeviceData) -> Mask:
        batches = data.pruning_batches(1, 64, torch.Generator().manual_seed(1))
        return prune(name, state_on(device).model, batches, hparams, density=0.3)

    with waits() as seen:
        mask = mask_on(DEVICE, data)
    assert seen.keys() == {FRESH, *PRUNED, *OF_THEIR_OWN.get(name, ())}
    assert {entry.device.type for entry in mask.values()} == {DEVICE.type}
    assert mask == mask_on(CPU, data_on(CPU))


# Evaluation and what lies between networks -----------------------------------------------------------------------


def test_an_evaluation_waits_once(data: DeviceData) -> None:
    model, at_home = state_on(DEVICE).model, state_on(CPU).model
    with waits() as seen:
        result = evaluate(model, data.evaluation_batches("test", batch_size=10))
    assert seen == {f"training/loop.py evaluate: {TO_HOST}": 1}
    assert result == pytest.approx(evaluate(at_home, data_on(CPU).evaluation_batches("test")), rel=1e-4)


def test_the_line_between_two_networks_is_that_of_a_cpu(data: DeviceData) -> None:
    first, second = state_on(DEVICE), state_on(DEVICE)
    train(first, data, HPARAMS, until=1)
    train(second, data, HPARAMS, until=3)
    ends = [{name: tensor.cpu() for name, tensor in state.tensors().items()} for state in (first, second)]

    def rows_on(device: torch.device, data: DeviceData) -> list[float]:
        line = Line(state_on(device).model, *ends)
        meter = Meter(data, HPARAMS, Examples(train=100, batchnorm=100))
        with waits() as seen:
            rows = walk(line, meter, (1, 2), [0.0, 0.5, 1.0])
        evaluations = len(rows) if device == DEVICE else 0
        assert seen == Counter({f"training/loop.py evaluate: {TO_HOST}": evaluations})
        return [row.loss for row in rows]

    assert rows_on(DEVICE, data) == pytest.approx(rows_on(CPU, data_on(CPU)), rel=1e-3)


def test_distances_are_those_of_a_cpu(data: DeviceData) -> None:
    first, second = state_on(DEVICE), state_on(DEVICE)
    train(second, data, HPARAMS, until=2)
    ends = [state.tensors() for state in (first, second)]
    at_home = [{name: tensor.cpu() for name, tensor in tensors.items()} for tensors in ends]
    names = [name for name, _ in first.model.named_parameters()]
    assert weight_distances(*ends, names) == weight_distances(*at_home, names)
    assert layer_distances(*ends, names) == layer_distances(*at_home, names)
    with waits() as seen:
        answered = outputs(first.model, data.evaluation_batches("test", batch_size=10))
    assert seen == {f"stability/distances.py outputs: {TO_HOST}": 1}
    expected = outputs(state_on(CPU).model, data_on(CPU).evaluation_batches("test"))
    assert torch.equal(answered.argmax(1), expected.argmax(1))


def assert_alike(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> None:
    """The same up to the order in which sums are formed."""
    assert some.keys() == others.keys()
    for name, tensor in some.items():
        torch.testing.assert_close(tensor.cpu(), others[name].cpu(), rtol=1e-3, atol=1e-4, msg=name)


# Whole commands --------------------------------------------------------------------------------------------------

COMMON = (
    "--device=pretend", "--dataset=digits", "--model=mnist_lenet_20_10", "--subsample_fraction=0.2",
    "--training_steps=2ep", "--batch_size=64", "--quiet",
)  # fmt: skip
ANYWHERE = {
    FRESH, *RESTORED, *EPOCH, *PRUNED,
    f"training/data/batches.py __init__: {TO_DEVICE}",
    f"training/data/device.py __init__: {TO_DEVICE}",
    f"training/loop.py evaluate: {TO_HOST}",
    f"training/metrics.py measure: {TO_HOST}",
    f"training/segments.py advance_to: {VALUE}",  # whether the loss is finite, at the end of a segment
    f"foundations/tensors.py encode_tensors: {TO_HOST}",
    f"pruning/mask.py __init__: {TO_DEVICE}",
    f"pruning/mask.py to: {TO_HOST}",
    f"pruning/connectivity.py reach_of_size: {TO_HOST}",
}  # fmt: skip
IN_A_LOTTERY = {f"training/segments.py load_network: {TO_DEVICE}", f"pruning/prune.py prune: {TO_DEVICE}"}
IN_AN_ANALYSIS = {
    *OF_THEIR_OWN["adsynflow"],
    f"stability/comparison.py logits: {TO_DEVICE}",
    f"stability/distances.py flat: {TO_HOST}",
    f"stability/distances.py outputs: {TO_HOST}",
    f"stability/interpolation.py _like_model: {TO_DEVICE}",
    # The multiply-adds of the network without its removed channels, for the sparsity report.
    f"pruning/compaction.py find_removed: {TO_DEVICE}",
    f"pruning/compaction.py find_removed: {TO_HOST}",
    f"pruning/compaction.py find_removed: {VALUE}",
    f"pruning/compaction.py put: {TO_DEVICE}",
    f"pruning/compaction.py take: {TO_DEVICE}",
    f"pruning/compaction.py is_exact: {TO_HOST}",
    f"pruning/same_function.py perturbed: {TO_HOST}",
    f"pruning/same_function.py _network: {TO_HOST}",
}


@pytest.mark.parametrize(
    ("command", "places"),
    [
        (("lottery", "--pruning_strategy=sparse_global", "--levels=0-2"), IN_A_LOTTERY),
        (("stability", "--pruning_strategy=adsynflow", "--pruning_iterations=3", "--alphas=3"), IN_AN_ANALYSIS),
    ],
)
def test_a_whole_command_waits_there_only(command: tuple[str, ...], places: set[str], tmp_path: Path) -> None:
    with waits() as seen:
        assert main([*command, *COMMON, "--k=1", f"--root={tmp_path}"]) == 0
    assert seen.keys() == ANYWHERE | places
