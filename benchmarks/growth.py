"""How time and peak memory grow: with width, data set, number of k's and number of alphas."""

import json
import sys
import time
from typing import Any

from benchmarks.cpu_training import multiply_adds, timed
from benchmarks.measuring import Row, Settings, in_child, make_state, peak_memory, synthetic_data

MEGABYTE = 2**20


def measure(settings: Settings) -> list[Row]:
    """Each line in a process of its own. Work: multiply-adds, images, children, points."""
    rows = []
    for width in settings.pick((16, 32, 64), (4, 8)):
        seconds, memory, work = in_child("growth", "width", width, settings=settings)
        what = f"ResNet-20, width {width}: {work / 1e6:.0f} million multiply-adds an image"
        rows.append(Row(what, f"{1000 * seconds:.0f} ms a step, {memory / MEGABYTE:.0f} MB"))
    for images in settings.pick((10_000, 25_000, 50_000), (500, 1000)):
        seconds, memory, _ = in_child("growth", "images", images, settings=settings)
        what = f"{images:,} images: the batches of an epoch, nothing trained"
        rows.append(Row(what, f"{seconds:.2f} s, {memory / MEGABYTE:.0f} MB"))
    for count in settings.pick((1, 2, 4), (1, 2)):
        steps = in_child("steps", *range(4, 4 + count), settings=settings)
        rows.append(Row(f"a curve of {count} k's with 2 children", f"{steps} optimizer steps"))
    for count in settings.pick((5, 10, 20), (2, 3)):
        seconds, memory, _ = in_child("growth", "alphas", count, settings=settings)
        rows.append(Row(f"{count} alphas, raw, 512 images", f"{seconds:.2f} s, {memory / MEGABYTE:.0f} MB"))
    return rows


def width(channels: int) -> tuple[float, int, int]:
    """Seconds of a training step, peak memory, multiply-adds of an image."""
    from training.loop import train

    data = synthetic_data(1024)
    state, hparams = make_state(f"cifar_resnet_20_{channels}", data)
    work = multiply_adds(state.model, data.shape)
    seconds = timed(lambda number: train(state, data, hparams, until=state.iteration + 1), 4, warm_up=1)
    return seconds, peak_memory(), work


def images(count: int) -> tuple[float, int, int]:
    """Seconds of an epoch's batches, peak memory."""
    from foundations.seeds import Seeds
    from training.state import Noise

    data = synthetic_data(count)
    start = time.perf_counter()
    for batch in data.batches(Noise(Seeds(1)).epoch(0), 0, data.iterations_per_epoch):
        data.fetch(batch)
    return time.perf_counter() - start, peak_memory(), count


def alphas(count: int) -> tuple[float, int, int]:
    """Seconds of a line between two ResNet-20, peak memory."""
    from stability.interpolation import Line, even_alphas
    from training.loop import evaluate

    data = synthetic_data(512)
    first, second, work = (make_state("cifar_resnet_20", data)[0].model for _ in range(3))
    line = Line(work, first.state_dict(), second.state_dict())
    evaluate(first, data.evaluation_batches("train"))
    start = time.perf_counter()
    for alpha in even_alphas(count):
        evaluate(line.go_to(alpha), data.evaluation_batches("train"))
    return time.perf_counter() - start, peak_memory(), count


if __name__ == "__main__":
    kinds: dict[str, Any] = {"width": width, "images": images, "alphas": alphas}
    print(json.dumps(kinds[sys.argv[1]](int(sys.argv[2]))))
