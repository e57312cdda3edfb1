"""The examples of docs/python.md in the loops of other packages, with these packages: ``make test-integrations``."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from foundations.torchvision_import import import_torchvision

import_torchvision()  # with a PyTorch for CPUs: these packages import it themselves

import accelerate  # noqa: E402
import pytorch_lightning  # noqa: E402
import timm  # noqa: E402
import timm.optim  # noqa: E402
import timm.utils  # noqa: E402
import transformers  # noqa: E402

from adsynflow import Mask, UsageError, prune  # noqa: E402
from pruning.mask import Hold  # noqa: E402

TEXT = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
SECTION = TEXT.partition("## In the loops of others")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r"```python\n(.*?)```", SECTION, flags=re.DOTALL)
PACKAGES = {module.__name__: module for module in (accelerate, pytorch_lightning, timm, transformers)}


class Images(Dataset[tuple[Tensor, int]]):
    """Two classes of images of noise, which one pixel tells apart."""

    def __init__(self) -> None:
        self.images = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.images[index, 0, 0, 0] > 0.5)


class Pairs(Images):
    def __getitem__(self, index: int) -> Any:
        image, label = super().__getitem__(index)
        return {"pixel_values": image, "labels": label}


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip


def run(words: str, **variables: Any) -> dict[str, Any]:
    """Run the one example in which ``words`` stand, with the variables that the page says there are."""
    [code] = [code for code in EXAMPLES if words in code]
    found = {"prune": prune, "torch": torch, "nn": nn, "device": "cpu", **PACKAGES, **variables}
    exec(compile(code, "docs/python.md", "exec"), found)
    return found


@pytest.fixture
def loader() -> DataLoader[Any]:
    return DataLoader(Images(), batch_size=16)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Mask, nn.Module]]]:
    """The masks that the test holds, and the networks that they hold; at its end the networks are still masked."""
    seen: list[tuple[Mask, nn.Module]] = []
    steps: list[Hold] = []
    hold, apply = Mask.hold, Hold.apply

    def recorded(mask: Mask, network: nn.Module, optimizer: Any) -> Hold:
        seen.append((mask, network))
        return hold(mask, network, optimizer)

    def counted(self: Hold) -> None:
        steps.append(self)
        apply(self)

    monkeypatch.setattr(Mask, "hold", recorded)
    monkeypatch.setattr(Hold, "apply", counted)
    yield seen
    [(mask, network)] = seen
    assert mask.kept == round(0.1 * mask.total)
    parameters = dict(network.named_parameters())
    assert not any(parameters[name][~entry.to(parameters[name].device)].any() for name, entry in mask.items())
    assert len(steps) >= 1 + 4, "once at the beginning, then after each of at least four steps"


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    """An optimizer whose momentum moves pruned weights."""
    return torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)


@pytest.mark.usefixtures("held")
def test_mixed_precision(loader: DataLoader[Any]) -> None:
    network = convolutional()
    run("GradScaler", network=network, optimizer=sgd(network), loader=loader)


@pytest.mark.usefixtures("held")
def test_lightning(loader: DataLoader[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Module(pytorch_lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = convolutional()

        def training_step(self, batch: Any, number: int) -> Tensor:
            return nn.functional.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            optimizer = sgd(self.network)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    monkeypatch.chdir(tmp_path)
    run("pytorch_lightning", module=Module(), loader=loader)


def tiny_models() -> dict[str, transformers.PreTrainedModel]:
    resnet = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=2)
    vit = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        num_labels=2,
    )  # fmt: skip
    return {
        "resnet": transformers.ResNetForImageClassification(resnet),
        "vit": transformers.ViTForImageClassification(vit),
    }


@pytest.mark.usefixtures("held")
@pytest.mark.filterwarnings("ignore:adsynflow. values below zero")  # as they are between an attention's layers
@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_transformers(name: str, tmp_path: Path) -> None:
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=5, per_device_train_batch_size=16, report_to=[], save_strategy="no",
        use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    callback = run("TrainerCallback")["AdSynFlow"]()
    transformers.Trainer(tiny_models()[name], arguments, train_dataset=Pairs(), callbacks=[callback]).train()


@pytest.mark.usefixtures("held")
def test_timm(loader: DataLoader[Any]) -> None:
    run("create_optimizer_v2", network=timm.create_model("resnet10t", num_classes=2), loader=loader)


def test_an_optimizer_that_writes_weights_by_itself_is_refused(loader: DataLoader[Any]) -> None:
    network = convolutional()
    lookahead = timm.optim.create_optimizer_v2(network, "lookahead_sgd", lr=0.05)
    with pytest.raises(UsageError, match=r"Lookahead.step\(\) runs no hooks"):
        prune("magnitude", network, density=0.1).hold(network, lookahead)


@pytest.mark.usefixtures("held")
def test_accelerate(loader: DataLoader[Any]) -> None:
    network = convolutional()
    run("accelerate", network=network, optimizer=sgd(network), loader=loader)


def test_every_example_is_short_and_run() -> None:
    source = Path(__file__).read_text()
    words = re.findall(r'run\("(.*?)"', source)
    assert {code for code in EXAMPLES for text in words if text in code} == set(EXAMPLES)
    assert max(len([line for line in code.splitlines() if line.strip()]) for code in EXAMPLES) <= 10
