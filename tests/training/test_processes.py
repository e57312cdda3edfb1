"""Several processes that train together: their shares of a batch, and what cannot be shared."""

import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from foundations.processes import Share
from training import distributed as processes
from training.data import DeviceData, EpochNoise
from training.hparams import TrainingHparams


@pytest.mark.parametrize(("size", "of"), [(128, 2), (29, 2), (30, 4), (7, 3)])
def test_the_shares_of_a_batch_are_the_batch(size: int, of: int) -> None:
    parts = [list(range(size))[Share(number, of).part(size)] for number in range(of)]
    assert [place for part in parts for place in part] == list(range(size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_shares_of_an_epoch_are_its_batches(small_data: DeviceData) -> None:
    def noise() -> EpochNoise:
        return EpochNoise(torch.Generator().manual_seed(1), torch.Generator().manual_seed(2))

    whole = [small_data.fetch(batch) for batch in small_data.batches(noise(), 1, 5)]
    shares = [small_data.batches(noise(), 1, 5, Share(number, 3)) for number in range(3)]
    for (images, labels), parts in zip(whole, zip(*shares, strict=True), strict=True):
        fetched = [small_data.fetch(part) for part in parts]
        torch.testing.assert_close(torch.cat([part[0] for part in fetched]), images, rtol=0, atol=0)
        assert torch.cat([part[1] for part in fetched]).tolist() == labels.tolist()


def test_a_synchronized_network_has_the_tensors_of_the_network() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    twin = processes.synchronized(model)
    assert isinstance(twin.get_submodule("1"), nn.SyncBatchNorm)
    assert isinstance(model[1], nn.BatchNorm2d)
    ours, theirs = ({**dict(net.named_parameters()), **dict(net.named_buffers())} for net in (model, twin))
    assert ours.keys() == theirs.keys()
    assert all(ours[name] is theirs[name] for name in ours)


@pytest.mark.parametrize(("count", "flags", "line"), [
    (2, {"batchnorm_statistics": "synchronized"}, "on CUDA only, and the device is cpu; valid here: local"),
    (17, {}, "an epoch's last batch has 32 of the 288 training images, too few for 17 processes"),
])  # fmt: skip
def test_what_processes_cannot_share_is_refused(
    count: int, flags: dict[str, str], line: str, small_data: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.check_shares(TrainingHparams(**flags), small_data)  # alone it is right
    several = processes.Together(Share(0, count))
    monkeypatch.setattr(processes, "processes", lambda: several)
    with pytest.raises(UsageError, match=line):
        processes.check_shares(TrainingHparams(**flags), small_data)
