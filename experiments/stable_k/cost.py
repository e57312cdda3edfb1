"""What it costs to find k, in multiply-adds."""

import copy
from dataclasses import replace

from torch.utils.flop_counter import FlopCounterMode

from experiments.stable_k.registry import Answer
from foundations import files
from foundations.reporting import Reporter
from foundations.steps import Step
from lottery.masks import find_mask
from models.cost import output_positions
from pruning import prunable
from stability import StabilityDesc, StabilityRunner
from training.trunk import Trunk

PASSES = 3
"""Forward passes that a step costs an example: one forward, two backward (inputs and weights)."""


def search_cost(runner: StabilityRunner, answer: Answer) -> dict[str, int]:
    """Multiply-adds of what a criterion needed: dense training, children, scores; and of one whole dense training.

    As in ``sparsity_report.json``, a step of training costs three forward passes an example, and a pruned weight
    nothing. Analyses need the whole dense training, which their children are compared with.

    Args:
        runner: an analysis of the network.
        answer: what was found, or that nothing was.
    """
    trunk, desc = runner.trunk, runner.desc
    dense = PASSES * dense_multiply_adds(trunk)
    to = answer.trained_to or answer.k or Step(0)
    reached = trunk.end if answer.analyses else trunk.iteration(to)
    masks = answer.masks + (len(answer.analyses) if desc.strategy else 0)
    return {
        "trunk": dense * trunk.examples_seen(reached),
        "children": sum(of_children(analysis, dense) for analysis in answer.analyses),
        "scores": masks * of_scores(trunk, desc) if masks else 0,
        "dense_training": dense * trunk.examples_seen(trunk.end),
    }


def dense_multiply_adds(trunk: Trunk) -> int:
    """Of one image's forward pass through the full network."""
    model = trunk.fresh().model
    positions = output_positions(model, trunk.data.shape)
    return sum(weight.numel() * positions[name] for name, weight in prunable(model).items())


def of_children(analysis: StabilityRunner, dense: int) -> int:
    """The trainings of an analysis from k on.

    Args:
        analysis: completed.
        dense: multiply-adds of training the full network on one example.
    """
    trunk = analysis.trunk
    if analysis.here.has(files.SPARSITY_REPORT):
        one = int(analysis.here.read_json(files.SPARSITY_REPORT)["training_multiply_adds"]["subnetwork"])
    else:
        one = dense * (trunk.examples_seen(trunk.end) - trunk.examples_seen(trunk.iteration(analysis.k)))
    return analysis.settings.children * one


def of_scores(trunk: Trunk, desc: StabilityDesc) -> int:
    """One mask: counted by PyTorch, forward and backward, in one of the strategy's equal iterations."""
    strategy, pruning = desc.strategy, desc.pruning
    assert strategy is not None, "there are masks"
    assert pruning is not None
    silent = copy.copy(trunk)
    silent.context = replace(trunk.context, reporter=Reporter())
    with FlopCounterMode(display=False) as counter:
        find_mask(silent, strategy, replace(pruning, pruning_iterations=1), trunk.fresh().model, desc.density)
    return pruning.pruning_iterations * int(counter.get_total_flops()) // 2  # a multiply-add counts as two operations
