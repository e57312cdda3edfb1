"""A ticket in the layout of the Hugging Face Hub, read by its own package: ``make test-integrations``."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn

from adsynflow import Session
from experiments.exchange import export, find_subnetwork
from foundations.reporting import Reporter


def test_the_hubs_mixin_reads_it(tmp_path: Path) -> None:
    session = Session(tmp_path / "runs", threads=1, quiet=True)
    tickets = session.lottery(model="mnist_lenet_4", dataset="digits", training_steps="1ep", k=0).run()
    ticket = find_subnetwork(tickets[0].store.path)
    export(ticket, "huggingface", tmp_path / "out", Reporter())
    given = []

    class Network(nn.Sequential, PyTorchModelHubMixin):
        """Somebody's own, with the same names and shapes."""

        def __init__(self, input_shape: list[int], class_names: list[str]) -> None:
            super().__init__(OrderedDict(ticket.fresh("somebody's").named_children()))
            given.extend([input_shape, class_names])

    network: Any = Network.from_pretrained(tmp_path / "out").eval()
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(network(images), ticket.model(images))
    assert given == [[1, 8, 8], list("0123456789")]
