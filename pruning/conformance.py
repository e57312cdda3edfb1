"""Does a strategy keep the laws that pruning relies on? For those who write one: ``check_strategy(MyMethod())``."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from foundations.errors import UsageError
from foundations.hparams import canonical
from foundations.reporting import Reporter
from pruning.conformance_cases import Case, altered, anatomy, cases, differences, isolated, process
from pruning.hparams import PruningHparams
from pruning.mask import Mask
from pruning.prune import prune
from pruning.scorer import Scorer
from pruning.strategy import Strategy, check_defaults, strategies


def expect(holds: bool, otherwise: str) -> None:
    """Raise ``AssertionError`` with the text ``otherwise`` unless something holds, under ``python -O`` too."""
    if not holds:
        raise AssertionError(otherwise)


@contextmanager
def about(what: str) -> Iterator[None]:
    """Turn any error inside, since a strategy may fail in any way, into an ``AssertionError`` about ``what``."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"{what}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return an error in one line, with its type where that is not ours."""
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, (AssertionError, UsageError)) else f"{type(error).__name__}: {text}"


DENSITIES = (0.6, 0.3, 0.1, 0.02)


def is_registered(strategy: Strategy) -> None:
    """The class is registered under its name."""
    name = strategy.name
    owner = strategies.get(name).__name__ if name in strategies else "no class"
    found = name in strategies and strategies.get(name) is type(strategy)
    expect(found, f'expected @strategies.register("...") above it; the name {name!r} belongs to {owner}')


def declares_what_there_is(strategy: Strategy) -> None:
    """Class variables have values that mean something."""
    mode, score_at, dtype = strategy.scored_in, strategy.score_at, strategy.dtype
    expect(mode in ("eval", "train"), f"expected mode to be 'eval' or 'train'; got {mode!r}")
    expect(score_at in ("k", "end"), f"expected score_at to be 'k' or 'end'; got {score_at!r}")
    floating = isinstance(dtype, torch.dtype) and dtype.is_floating_point
    expect(dtype is None or floating, f"expected dtype to be None or a floating-point type; got {dtype!r}")
    check_defaults(type(strategy))


def fields_survive_json(strategy: Strategy) -> None:
    """Fields go through JSON unchanged, and so into a run's key."""
    text = json.dumps(strategy.to_dict(), allow_nan=False)
    again = type(strategy).from_dict(json.loads(text))
    expect(again == strategy, f"expected {strategy} back from {text}; got {again}")
    json.dumps(canonical(strategy), sort_keys=True, allow_nan=False)


def scores_fit_the_weights(strategy: Strategy) -> None:
    """Scores are finite tensors of one type, with the names and shapes of the prunable weights."""
    for case in cases():
        types = {str(score.dtype) for score in scores(strategy, case).values()}
        expect(len(types) == 1, f"expected one type in all layers of the {case.name}; got {', '.join(sorted(types))}")


def scores_in_float64(strategy: Strategy) -> None:
    """A network in float64 can be scored as well as one in float32."""
    for case in cases():
        scores(strategy, case.double())


def same_generator_same_scores(strategy: Strategy) -> None:
    """The same generator gives the same scores, whatever the global random numbers and the calls before."""
    for case in cases():
        found = []
        for seed in (1, 2):
            with isolated(seed):
                found.append(scores(strategy, case))
        changed = altered(*found)
        expect(not changed, f"expected equal scores of the {case.name} from two calls; others in {', '.join(changed)}")


def leaves_the_process_alone(strategy: Strategy) -> None:
    """Scoring changes nothing outside the network: no global random numbers, no default type."""
    for case in cases():
        with isolated(3):
            before = process()
            scores(strategy, case)
            changed = differences(before, process())
        expect(not changed, f"expected no change by scoring the {case.name}; changed: {', '.join(changed)}")


def leaves_the_model_alone(strategy: Strategy) -> None:
    """The model that is pruned stays as it is: values, gradients, modes, modules, hooks and what it computes."""
    for case in cases():
        model = case.model.eval()
        structure, values, outputs = anatomy(model), copies(model.state_dict()), case.outputs()
        pruned(strategy, case, PruningHparams(), 0.5)
        changed = differences(structure, anatomy(model)) + altered(values, model.state_dict())
        expect(not changed, f"expected no change of the {case.name}; changed: {', '.join(changed)}")
        expect(torch.equal(case.outputs(), outputs), f"expected the outputs that the {case.name} had; got others")


def leaves_the_batches_alone(strategy: Strategy) -> None:
    """The batches stay as they are, since the next iteration gets them again."""
    for case in cases():
        scorer = Scorer(strategy, case.model, case.batches, seed=0)
        before = copies(images(scorer))
        scorer(everything(case))
        changed = altered(before, images(scorer))
        expect(not changed, f"expected no change of those for the {case.name}; changed: {', '.join(changed)}")


def prunes_to_any_density(strategy: Strategy) -> None:
    """Networks are pruned to any density, level by level: exact counts, no weight revived, ignored layers whole."""
    for case in cases():
        first = next(iter(everything(case)))
        for hparams in (
            PruningHparams(),
            PruningHparams(pruning_scope="layer", pruning_iterations=2),
            PruningHparams(layers_to_ignore=(first,), pruning_iterations=2),
        ):
            mask = Mask.ones(case.model)
            for density in DENSITIES:
                smaller = pruned(strategy, case, hparams, density, mask)
                for part in competing(smaller, hparams):
                    expected = round(density * part.total)
                    wanted = f"expected {expected} weights of the {case.name} at density {density}"
                    expect(part.kept == expected, f"{wanted}; got {part.kept}")
                revived = [name for name in mask if (smaller[name] & ~mask[name]).any()]
                expect(not revived, f"expected no weight of the {case.name} to revive; some in {', '.join(revived)}")
                mask = smaller


def scores_empty_layers(strategy: Strategy) -> None:
    """A network can be scored in which a layer has no weight left."""
    for case in cases():
        for name in everything(case):
            alive = everything(case)
            alive[name].fill_(False)
            with about(f"with {name} empty"):
                scores(strategy, case, alive)


def spoils_only_what_it_declares(strategy: Strategy) -> None:
    """A strategy that declares spoils_values_only changes no modules, hooks, modes, tensors or .grad."""
    if not strategy.spoils_values_only:
        return
    for case in cases():
        scorer = Scorer(strategy, case.model, case.batches, seed=0)
        copy = scorer.refreshed()  # the one that serves all iterations
        before = anatomy(copy)
        scorer(everything(case))
        changed = differences(before, anatomy(copy))
        expect(not changed, f"expected nothing but values to change in the {case.name}; changed: {', '.join(changed)}")


LAWS: tuple[Callable[[Strategy], None], ...] = (
    is_registered,
    declares_what_there_is,
    fields_survive_json,
    scores_fit_the_weights,
    scores_in_float64,
    same_generator_same_scores,
    leaves_the_process_alone,
    leaves_the_model_alone,
    leaves_the_batches_alone,
    prunes_to_any_density,
    scores_empty_layers,
    spoils_only_what_it_declares,
)
"""In the order in which they are checked."""


def everything(case: Case) -> dict[str, Tensor]:
    return dict(Mask.ones(case.model))


def scores(strategy: Strategy, case: Case, alive: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Return the scores of a network masked by ``alive``, refused if they do not fit or are not finite."""
    with about(f"the {case.name}"):
        return Scorer(strategy, case.model, case.batches, seed=0)(everything(case) if alive is None else alive)


def pruned(strategy: Strategy, case: Case, hparams: PruningHparams, density: float, mask: Mask | None = None) -> Mask:
    generator = torch.Generator().manual_seed(0)
    with about(f"the {case.name} pruned to density {density}"):
        return prune(strategy, case.model, case.batches, hparams, density, generator, mask, Reporter())


def competing(mask: Mask, hparams: PruningHparams) -> list[Mask]:
    """Return the parts of a mask within which weights compete; ignored layers are in none."""
    rest = mask.without(hparams.layers_to_ignore)
    return [rest] if hparams.pruning_scope == "global" else [rest.without(set(rest) - {name}) for name in rest]


def images(scorer: Scorer) -> dict[str, Tensor]:
    batches = scorer.batches
    found = {"mean_image": batches.mean_image}
    for index, ((inputs, labels), pixels) in enumerate(zip(batches, batches.pixels, strict=True)):
        found |= {f"inputs {index}": inputs, f"labels {index}": labels, f"pixels {index}": pixels}
    return found


def copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def check_strategy(strategy: Strategy) -> None:
    """Check that ``strategy`` keeps every law that pruning relies on, on two small networks.

    Args:
        strategy: an instance, with the hyperparameters that are to be checked.

    Raises:
        AssertionError: with one line that says which law is broken, what was expected and what came.
        UsageError: if ``strategy`` is not an instance of a strategy.
    """
    if not isinstance(strategy, Strategy):
        raise UsageError(f"check_strategy: expected an instance, as in check_strategy(MyMethod()); got {strategy!r}")
    for law in LAWS:
        statement = str(law.__doc__).partition("\n")[0].rstrip(".")
        with isolated(0), about(f"{type(strategy).__name__}: {statement}"):
            law(strategy)
