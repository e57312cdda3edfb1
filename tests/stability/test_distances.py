"""Distances of hand-made vectors and predictions."""

import math

import pytest
import torch

from stability.distances import disagreement, ensemble_accuracy, layer_distances, weight_distances


def named(*values: float) -> dict[str, torch.Tensor]:
    """Two layers of a weight each, and statistics that do not count."""
    return {"a": torch.tensor([values[0]]), "b": torch.tensor([values[1]]), "running_mean": torch.rand(3)}


def test_l2_and_angle_over_all_layers_together() -> None:
    apart = weight_distances(named(3.0, 0.0), named(0.0, 4.0), ["a", "b"])
    assert apart["l2"] == pytest.approx(5)
    assert apart["angular"] == pytest.approx(math.pi / 2)
    assert layer_distances(named(3.0, 0.0), named(0.0, 4.0), ["a", "b"]) == {"a": 3, "b": 4}


def test_the_angle_does_not_see_lengths_and_is_exact_at_zero() -> None:
    assert weight_distances(named(1.0, 2.0), named(3.0, 6.0), ["a", "b"])["angular"] == pytest.approx(0, abs=1e-15)
    assert weight_distances(named(0.1, 0.7), named(0.1, 0.7), ["a", "b"])["angular"] == 0
    assert weight_distances(named(1.0, 2.0), named(-1.0, -2.0), ["a", "b"])["angular"] == pytest.approx(math.pi)


def test_disagreement_over_all_images_and_over_those_on_which_it_is_possible() -> None:
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 0, 0])
    first = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])  # wrong twice
    second = torch.tensor([0, 0, 0, 0, 0, 0, 1, 2])  # wrong twice, once with the same answer
    assert disagreement(first, second, labels) == {"disagreement": 1 / 8, "classification_difference": 1 / 4}


def test_two_networks_that_are_always_right_do_not_differ() -> None:
    labels = torch.tensor([0, 1])
    assert disagreement(labels, labels, labels) == {"disagreement": 0, "classification_difference": 0}


def test_the_possible_number_is_at_most_that_of_the_images() -> None:
    labels = torch.tensor([0, 0])
    assert disagreement(labels + 1, labels + 2, labels)["classification_difference"] == 1


def test_an_ensemble_answers_by_its_mean_probability() -> None:
    """Of three images one is right alone, one only together (0.55 + 0.9 against 0.45 + 0.1), one wrong."""
    first = torch.tensor([[0.9, 0.1], [0.45, 0.55], [0.9, 0.1]])
    second = torch.tensor([[0.8, 0.2], [0.9, 0.1], [0.6, 0.4]])
    labels = torch.tensor([0, 0, 1])
    assert ensemble_accuracy([first, second], labels) == pytest.approx(2 / 3)
    assert ensemble_accuracy([first], labels) == pytest.approx(1 / 3)
