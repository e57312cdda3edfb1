"""What the line between two networks costs: 30 raw points against 30 plain forward passes over the test set."""

import argparse
import copy
import time
from collections.abc import Callable

import torch

from foundations.seeds import Seeds
from models import ModelHparams, build
from stability.interpolation import Examples, Line, Meter, even_alphas
from training.data import DataHparams, Dataset, DeviceData
from training.hparams import TrainingHparams
from training.loop import evaluate

POINTS = 30
BOUND = 1.15


def main() -> None:
    """Prints both times and their ratio, the best of three rounds each, taken in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="cifar_resnet_20")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    data = images_of_noise(arguments.images, device)
    hparams = ModelHparams(model=arguments.model)
    first, second = (
        build(hparams, data.shape, Seeds(number).generator("benchmark")).to(device, memory_format=torch.channels_last)
        for number in (1, 2)
    )
    work = copy.deepcopy(first)

    def plain() -> None:
        for _ in range(POINTS):
            evaluate(first, data.evaluation_batches("test"))

    def line() -> None:
        meter = Meter(data, TrainingHparams(), Examples(train=1, batchnorm=2))
        between = Line(work, first.state_dict(), second.state_dict())
        for alpha in even_alphas(POINTS):
            meter.measure(between.go_to(alpha), "test")

    rounds = [(seconds(plain), seconds(line)) for _ in range(3)]
    passes, points = (min(column) for column in zip(*rounds, strict=True))
    print(
        f"{arguments.model}, {arguments.images} images, {device.type}, {arguments.threads} threads: "
        f"{POINTS} forward passes {passes:.2f} s, {POINTS} points on a line {points:.2f} s, "
        f"ratio {points / passes:.3f} (bound {BOUND})"
    )


def images_of_noise(count: int, device: torch.device) -> DeviceData:
    """As large as CIFAR's images; what is on them does not matter for time."""
    generator = Seeds(0).generator("benchmark images")
    images = torch.randint(256, (count, 32, 32, 3), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) % 10
    dataset = Dataset.from_arrays(images, labels, images, labels)
    return DeviceData(dataset, DataHparams(), device)


def seconds(work: Callable[[], None]) -> float:
    """The time that ``work`` takes, the device's included."""
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
