"""The one place where torchvision is imported."""

import functools
from types import ModuleType

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def import_torchvision() -> ModuleType:
    """Return torchvision, whether or not its C++ operators can be loaded.

    The torchvision of PyPI is built for CUDA. Beside a PyTorch for the CPU alone its operators do not load,
    and its import fails with "operator torchvision::nms does not exist", though reading data sets needs none.
    Declaring the two operators that its import looks for is enough. That is done only after an import has
    failed for want of them, so that where they do load they are never declared twice.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        declare_operators()
        import torchvision
    return torchvision  # type: ignore[no-any-return]


@functools.cache
def declare_operators() -> torch.library.Library:
    """Declare the missing operators. The cache keeps the library, and with it the declarations, alive."""
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    return library
