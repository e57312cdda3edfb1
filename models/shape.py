"""The one thing that a model knows about its data."""

from dataclasses import dataclass, fields

from foundations.errors import UsageError


@dataclass(frozen=True)
class ImageShape:
    """Size of one image and the number of classes: ``ImageShape(3, 32, 32, 10)`` is CIFAR-10.

    Raises:
        UsageError: a number is below 1.
    """

    channels: int
    height: int
    width: int
    classes: int

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise UsageError(f"image shape {self}: {field.name} must be at least 1")

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width} with {self.classes} classes"
