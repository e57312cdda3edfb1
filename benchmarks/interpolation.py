"""What the line between two networks costs: 30 raw points against 30 plain forward passes over the test set."""

import copy
from typing import Any

from benchmarks.measuring import Row, Settings, alternate

IMAGES, POINTS = 1000, 30


def measure(settings: Settings) -> list[Row]:
    """ResNet-20; what a line prepares (copies, batches) is counted with its points."""
    import torch

    from foundations.seeds import Seeds
    from models import ModelHparams, build
    from stability.interpolation import Examples, Line, Meter, even_alphas
    from training.hparams import TrainingHparams
    from training.loop import evaluate

    points = settings.pick(POINTS, 2)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = images_of_noise(settings.pick(IMAGES, 100), device)
    first, second = (
        build(ModelHparams(), data.shape, Seeds(number).generator("benchmark")).to(device) for number in (1, 2)
    )
    for network in (first, second):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stubs
    work = copy.deepcopy(first)

    def passes() -> None:
        for _ in range(points):
            evaluate(first, data.evaluation_batches("test"))

    def line() -> None:
        meter = Meter(data, TrainingHparams(), Examples(train=1, batchnorm=2))
        between = Line(work, first.state_dict(), second.state_dict())
        for alpha in even_alphas(points):
            meter.measure(between.go_to(alpha), "test")

    seconds = alternate({"passes": passes, "line": line}, settings.pick(3, 1), warm_up=settings.pick(1, 0))
    return [
        Row(f"{points} forward passes over {len(data.test_labels)} images", f"{seconds['passes']:.2f} s"),
        Row(f"{points} points on a line", f"{seconds['line']:.2f} s"),
        Row("slower than plain forward passes", f"{seconds['line'] / seconds['passes']:.3f}x", "at most 1.15x"),
    ]


def images_of_noise(count: int, device: Any) -> Any:
    """As large as CIFAR's images; what is on them does not matter for time."""
    import torch

    from foundations.seeds import Seeds
    from training.data import DataHparams, Dataset, DeviceData

    generator = Seeds(0).generator("benchmark images")
    images = torch.randint(256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) % 10
    return DeviceData(Dataset.from_arrays(images, labels, images, labels), DataHparams(), device)
