"""From scores to masks: groups of layers, iteration, schedule, exact counts. The same for every strategy."""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from foundations.reporting import Reporter
from pruning.batches import Batches
from pruning.computed import check_products
from pruning.hparams import PruningHparams
from pruning.mask import Mask
from pruning.prunable import ignored_layers, layer_fractions, matching, prunable
from pruning.scorer import Scorer
from pruning.strategy import Strategy, say, strategies
from pruning.weight_use import copied

Pair = tuple[Tensor, Tensor]


def prune(
    strategy: Strategy | str,
    model: nn.Module,
    batches: Batches | Iterable[Pair] = (),
    hparams: PruningHparams | None = None,
    density: float | None = None,
    generator: torch.Generator | None = None,
    mask: Mask | None = None,
    reporter: Reporter | None = None,
) -> Mask:
    """Prune the weights that score lowest.

    In each of n iterations the strategy scores a copy of the model, masked as far as pruning has come, and
    the mask shrinks to the next density d_i = d_0^(1 - i/n) * d^(i/n) (exponential) or d_0 (1 - i/n) + d i/n
    (linear), where d_0 is the density of ``mask``. Exactly round(d_i * total) weights are kept; of equal
    scores those that come first in the model. What is pruned stays pruned, unless the strategy revives: then
    all weights of ``mask`` compete in every iteration. With the scope "layer" the count holds in every layer by
    itself, and a layer that has fewer weights already keeps them; with "erk" scores rank weights within their
    layer, and layers share the density as :func:`erk_scores` says. For layers with a fraction of
    their own see :func:`find_groups`.

    Nothing about ``model`` changes.

    Args:
        strategy: scores the weights; by its name it has its default hyperparameters.
        model: the network whose weights are scored; ``mask`` need not have been applied to it.
        batches: training data for strategies that look at it; of plain pairs (inputs, labels) see ``Batches.of``.
            They also serve to check, in one forward pass, that what is masked is what is multiplied.
        hparams: iterations, schedule, scope and layers to ignore. Which weights are scored and how far a
            level prunes (``score_at``, ``pruning_fraction``) is the caller's business. By default the strategy's own.
        density: the share of weights to keep, in (0, 1], of those in layers that are neither ignored nor have a
            fraction of their own; by default what ``pruning_fraction`` leaves of ``mask``.
        generator: for all that is random; one number is drawn from it. By default one that is seeded with 0.
        mask: where to start; everything if None.
        reporter: shows the progress of the iterations, and hears of scores that say nothing; without one these are
            Python warnings.

    Returns:
        The mask on the model's device. Layers to be ignored are as in ``mask``.

    Raises:
        UsageError: if there is less than ``density`` to start with, if it keeps nothing, if a layer to be ignored does
            not exist, if masks of a layer are not masks of what it multiplies, or if the scores are not finite or not
            shaped like the prunable parameters.
    """
    strategy = strategies.get(strategy)() if isinstance(strategy, str) else strategy
    batches = batches if isinstance(batches, Batches) else Batches.of(batches)
    hparams = PruningHparams(**strategy.pruning_defaults()) if hparams is None else hparams
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    check_layers(model, hparams)
    mask = Mask.ones(model) if mask is None else mask
    mask.check(model)
    start = mask.without(ignored_layers(model, hparams.layers_to_ignore))
    common = start.without(layer_fractions(start.keys(), hparams.layer_fractions))
    density = (1 - hparams.pruning_fraction) * common.density if density is None else density
    check_density(start, common, density, hparams)

    device = next(model.parameters()).device
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
    scorer = Scorer(strategy, model, batches, seed)
    alive = {name: entry.to(scorer.device) for name, entry in mask.items()}
    whole = dict(alive)
    groups = find_groups(start, density, hparams)

    if batches.pairs:
        check_products(copied(scorer.original).to(scorer.dtype), start, scorer.batches[0][0][:2])
    reporter, iterations = reporter or Warnings(), hparams.pruning_iterations
    for remark in scorer.remarks(alive):
        reporter.warn(f"{strategy.name}: {remark}")
    with reporter.progress(f"Pruning with {strategy.name}", iterations) as advance:
        for iteration in range(1, iterations + 1):
            scores = scorer(alive)
            if iteration == 1:
                say_ties(scores, alive, strategy.name, reporter)
            if strategy.revives:
                alive = dict(whole)
            shrink(scores, alive, groups, hparams, iteration / iterations)
            advance(1)
    return Mask(alive).to(device)


def check_density(start: Mask, common: Mask, density: float, hparams: PruningHparams) -> None:
    if not 0 < density <= 1:
        raise UsageError(f"--density={density}: expected a number in (0, 1]")
    if not start:
        raise UsageError(f"--layers_to_ignore={','.join(hparams.layers_to_ignore)}: no layer is left to prune")
    if common and round(density * common.total) == 0:
        raise UsageError(f"--density={density}: keeps none of the {common.total} weights")
    if round(density * common.total) > common.kept:
        raise UsageError(f"--density={density}: only {common.density:.6g} of the weights are left to start with")


class Warnings(Reporter):
    """Says by Python's warnings what a user should not miss."""

    def warn(self, text: str) -> None:
        warnings.warn(text, stacklevel=3)


def say_ties(scores: Mapping[str, Tensor], alive: Mapping[str, Tensor], method: str, reporter: Reporter) -> None:
    """Warn of layers whose weights all have one score, so that their order decides."""
    found = []
    for name, score in scores.items():
        pruned = ~alive[name]
        low, high = score.masked_fill(pruned, torch.inf).amin(), score.masked_fill(pruned, -torch.inf).amax()
        found.append(torch.stack((low, high, alive[name].sum())))
    rows = zip(scores, torch.stack(found).cpu().tolist(), strict=True)
    one_score = {name: low for name, (low, high, count) in rows if low == high and count > 1}
    for what in ("zero", "equal"):
        if names := [name for name, score in one_score.items() if (what == "zero") == (score == 0)]:
            reporter.warn(
                f"{method}: all scores are {what} in {len(names)} of {len(scores)} layers ({say(names)}); which of "
                "their weights are kept goes by position"
            )


@dataclass(frozen=True)
class Group:
    """Layers whose weights compete with each other, by the names of their parameters."""

    names: tuple[str, ...]
    first: float
    """The density they have, taken together."""
    last: float
    """The density that they come to; no higher than the first."""


def find_groups(mask: Mask, density: float, hparams: PruningHparams) -> list[Group]:
    """Return the groups in which the layers of ``mask`` are pruned to ``density``.

    A layer with a fraction f' of its own is by itself and comes to density^(log(1 - f') / log(1 - f)), f the general
    ``pruning_fraction``: it is pruned by f' as often as the others by f.
    """
    own = layer_fractions(mask.keys(), hparams.layer_fractions)
    common = [name for name in mask if name not in own]
    if hparams.pruning_scope == "layer":
        groups = [[name] for name in common]
    else:
        apart = {name for pattern in hparams.layers_apart for name in matching(common, pattern, "layers_apart")}
        groups = [[name for name in common if (name in apart) is wanted] for wanted in (False, True)]
    powers = {name: math.log1p(-fraction) / math.log1p(-hparams.pruning_fraction) for name, fraction in own.items()}
    ends = [(group, density) for group in groups if group] + [([n], density**power) for n, power in powers.items()]
    firsts = [mask.without(set(mask) - set(group)).density for group, _ in ends]
    return [Group(tuple(group), first, min(first, end)) for (group, end), first in zip(ends, firsts, strict=True)]


def check_layers(model: nn.Module, hparams: PruningHparams) -> None:
    """Raise ``UsageError`` if a model has no layer to prune, or none that is named: before it is trained for long."""
    if not prunable(model):
        raise UsageError(
            f"{type(model).__name__} has no weights to prune: they are those of convolutions and linear layers that "
            "multiply them as they are (weight normalization and standardization compute others)"
        )
    if hparams.layers_to_ignore or hparams.layer_fractions or hparams.layers_apart:
        find_groups(Mask.ones(model).without(ignored_layers(model, hparams.layers_to_ignore)), 1.0, hparams)


def shrink(
    scores: dict[str, Tensor],
    alive: dict[str, Tensor],
    groups: Iterable[Group],
    hparams: PruningHparams,
    progress: float = 1.0,
) -> None:
    """Shrink ``alive``, the weights that compete, to those of the highest scores; this uses the scores up.

    ``progress`` says how far on the schedule the densities have come; 1 is its end.
    """
    for group in groups:
        if hparams.pruning_scope == "erk":
            scores |= {name: erk_scores(scores[name], alive[name]) for name in group.names}
        target = scheduled(hparams.pruning_schedule, group.first, group.last, progress)
        keep_highest(scores, alive, group.names, target)


def scheduled(schedule: str, start: float, end: float, progress: float) -> float:
    """Return the density after a fraction of the iterations; exactly ``end`` when that is 1."""
    if schedule == "linear":
        return start * (1 - progress) + end * progress
    return float(start ** (1 - progress) * end**progress)


def keep_highest(scores: dict[str, Tensor], alive: dict[str, Tensor], group: Sequence[str], density: float) -> None:
    """Shrink ``alive`` in the layers of ``group``, taken together, to ``density``, rounded to whole weights."""
    sizes = [alive[name].numel() for name in group]
    together = torch.empty(sum(sizes), dtype=scores[group[0]].dtype, device=scores[group[0]].device)
    for name, part in zip(group, together.split(sizes), strict=True):
        part.copy_(scores.pop(name).flatten())  # layer by layer, so that memory holds the scores only once
    kept = highest(together, torch.cat([alive[name].flatten() for name in group]), round(density * sum(sizes)))
    for name, part in zip(group, kept.split(sizes), strict=True):
        alive[name] = part.view(alive[name].shape)


def highest(scores: Tensor, alive: Tensor, keep: int) -> Tensor:
    """Return the highest scores among those alive, as a mask; of equals the first. All flat.

    Never more than are alive. ``scores > threshold`` alone would prune every tie.
    """
    keep = min(keep, int(alive.count_nonzero()))
    if keep == 0:
        return torch.zeros_like(alive)
    threshold = kth_highest(scores, alive, keep)
    kept = (scores > threshold) & alive
    ties = ((scores == threshold) & alive).nonzero().flatten()
    kept[ties[: keep - int(kept.count_nonzero())]] = True
    return kept


def kth_highest(scores: Tensor, alive: Tensor, k: int) -> Tensor | float:
    if scores.is_cuda:  # where kthvalue is slow, and refused by deterministic algorithms
        return scores[alive].sort(descending=True).values[k - 1]
    values = scores.cpu().double().numpy()[alive.cpu().numpy()]
    position = len(values) - k
    values.partition(position)  # several times faster than kthvalue
    return float(values[position])


def erk_scores(scores: Tensor, alive: Tensor) -> Tensor:
    """Return scores of one layer such that the highest of all layers leave each at its Erdos-Renyi-kernel density.

    Evci et al. 2020, "Rigging the Lottery", section 3: a layer with dimensions d_1, d_2, ... has the density
    min(1, eps * sum(d) / prod(d)), with the eps at which the whole network has the density asked for. So, as
    long as it is not full, a layer keeps eps * sum(d) weights.

    The result is sum(d) / (r + 1/2), r the weight's rank in its layer; weights that are not ``alive`` rank last. A
    threshold of 1/eps on it keeps in every layer the ranks below eps * sum(d), and no more than there are: for any
    global density the cut falls at the eps that belongs to it.
    """
    ordered = scores.masked_fill(~alive, -torch.inf).flatten().argsort(descending=True, stable=True)
    return sum(scores.shape) / (ordered.argsort() + 0.5).view(scores.shape)
