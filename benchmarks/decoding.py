"""Large images decoded and augmented by workers, against torchvision's ImageFolder in a plain DataLoader."""

import tempfile
from pathlib import Path

from benchmarks.measuring import Row, Settings, alternate, ratio

WIDTH, HEIGHT = 500, 375  # the usual size of ImageNet's
BATCH = 32


def measure(settings: Settings) -> list[Row]:
    """An epoch's batches, normalized, without a network; each side starts its workers anew."""
    import torch

    from foundations.reporting import Reporter
    from foundations.seeds import Seeds
    from foundations.torchvision_import import import_torchvision
    from training.data import DataHparams, StreamedData
    from training.data.dataset import IMAGENET_MEAN, IMAGENET_STD
    from training.data.image_files import read_image_files
    from training.state import Noise

    import_torchvision()
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    count, workers = settings.pick(1024, 2 * BATCH + 1), settings.threads
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        paint(folder, count)
        files = read_image_files(folder, "imagenet", ("train", "val"), Reporter())
        hparams = DataHparams(dataset="imagenet", batch_size=BATCH)
        transform = v2.Compose([
            v2.RandomResizedCrop(files.size), v2.RandomHorizontalFlip(), v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ])  # fmt: skip
        plain_folder = ImageFolder(str(folder / "train"), transform)

        def ours(workers: int) -> None:
            data = StreamedData(files, hparams, torch.device("cpu"), workers)
            for batch in data.batches(Noise(Seeds(1)).epoch(0), 0, data.iterations_per_epoch):
                data.fetch(batch)

        def plain(workers: int) -> None:
            for _ in torch.utils.data.DataLoader(plain_folder, BATCH, shuffle=True, num_workers=workers):
                pass

        seconds = alternate(
            {
                "ours": lambda: ours(workers), "plain": lambda: plain(workers),
                "ours alone": lambda: ours(0), "plain alone": lambda: plain(0),
            },
            settings.pick(5, 1),
        )  # fmt: skip
    rows = []
    for name, text in (("", f"{workers} workers"), (" alone", "without workers")):
        ours_took, plain_took = seconds[f"ours{name}"], seconds[f"plain{name}"]
        rows += [
            Row(f"ImageFolder, {text}, images/s", f"{count / plain_took:.0f}"),
            Row(f"this framework, {text}, images/s", f"{count / ours_took:.0f}"),
            Row(f"faster, {text}", ratio(plain_took, ours_took), "1.0x"),
        ]
    return rows


def paint(folder: Path, count: int) -> None:
    """Smooth pictures with some noise as JPEGs, about 60 kB each, in two classes; and one of each to evaluate."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for split, number in [("train", number) for number in range(count)] + [("val", 0), ("val", 1)]:
        path = folder / split / "ab"[number % 2] / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(np.int16)
        noise = random.integers(-20, 21, (HEIGHT, WIDTH, 1), dtype=np.int16)
        Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8)).save(path, quality=90)
