"""One training step and one evaluation of somebody else's network, before anything is computed with it."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundations.errors import UsageError, summary_of
from models import refuse_lazy
from training.arithmetic import contiguous_inputs, find_memory_format, keep_contiguous
from training.data import TrainingData


def try_training(model: nn.Module, data: TrainingData, named: str = "The network") -> Tensor:
    """Take a training step with a copy of ``model``, and find whether it takes images that are channels-last.

    One that does not, but takes them in plain memory order, is kept in that (see ``arithmetic.keep_contiguous``).
    Returns the two training images that it was tried on; ``named`` is what the user calls the network.

    Raises:
        UsageError: it cannot be copied, fails, or gives other than a score for each class.
    """
    refuse_lazy(model, named)
    check_copies(model, named)
    images, labels = next(data.evaluation_batches("train", batch_size=2, limit=2))
    classes = data.shape.classes
    with blamed(named, f"a training step failed{odd_type(model)}"):
        try:
            take_step(model, images, labels, classes, find_memory_format(model, images.device))
        except UsageError:
            raise
        except Exception as error:
            try:
                take_step(model, images, labels, classes, torch.contiguous_format)
            except Exception:
                raise error from None
            keep_contiguous(model)
    return images


def try_evaluation(model: nn.Module, images: Tensor, classes: int, named: str) -> None:
    """Raise ``UsageError`` if a network fails on images in evaluation mode, or gives other than class scores."""
    with blamed(named, "evaluation failed"), torch.random.fork_rng([]), torch.no_grad():
        check_scores(model.eval()(images), len(images), classes)


@contextmanager
def blamed(named: str, what: str) -> Iterator[None]:
    """Turn any exception inside into a ``UsageError`` about the network that the user calls ``named``."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{named}: {error}") from error
    except Exception as error:
        raise UsageError(f"{named}: {what}: {summary_of(error)}") from error


def odd_type(model: nn.Module) -> str:
    """Return a remark on parameters of another type than the images; an empty one if there are none."""
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            return f" ({name} is {parameter.dtype}, and images are torch.float32)"
    return ""


def check_copies(model: nn.Module, named: str) -> None:
    """Raise ``UsageError`` if a network cannot be deep-copied."""
    try:
        copy.deepcopy(model)
    except Exception as error:
        computed = [
            f"{name}.{key}".removeprefix(".")
            for name, module in model.named_modules()
            for key, value in vars(module).items()
            if isinstance(value, Tensor) and value.grad_fn is not None
        ]
        because = f"{computed[0]} is a computed tensor" if computed else summary_of(error)
        raise UsageError(
            f"{named}: the network cannot be copied, which pruning needs: {because}. Take "
            "torch.nn.utils.parametrizations.weight_norm instead of torch.nn.utils.weight_norm, and end "
            "torch.nn.utils.prune by its remove()."
        ) from error


def take_step(
    model: nn.Module, images: Tensor, labels: Tensor, classes: int, memory_format: torch.memory_format
) -> None:
    """Compute forward and backward pass of a copy of ``model`` in training mode; refuse outputs of another kind."""
    trial = copy.deepcopy(model).to(memory_format=memory_format).train()  # type: ignore[call-overload]
    if memory_format == torch.contiguous_format:
        [images] = contiguous_inputs(trial, (images,))
    with torch.enable_grad(), torch.random.fork_rng([images.device] if images.device.type == "cuda" else []):
        outputs = trial(images)
        check_scores(outputs, len(images), classes)
        F.cross_entropy(outputs, labels).backward()


def check_scores(outputs: object, size: int, classes: int | None = None) -> None:
    """Raise ``UsageError`` unless ``outputs`` are scores, (size, classes), of however many classes if None."""
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else ()
    if len(shape) == 2 and shape[0] == size and classes in (None, shape[1]):
        return
    found = f"a tensor of shape {shape}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
    raise UsageError(
        f"of a batch of {size} the network made {found}, not one tensor of scores, ({size}, {classes or 'classes'}); "
        "one with further outputs needs a wrapper that returns the scores alone, in training too"
    )
