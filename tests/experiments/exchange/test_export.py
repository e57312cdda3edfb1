"""Tickets to take away, used as somebody without this project would."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.nn.utils import prune

from experiments.exchange import export, find_subnetwork
from experiments.exchange.export import Subnetwork
from experiments.runs.stored import open as open_run
from experiments.session import Session
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.seeds import Seeds
from models import ImageShape, ModelHparams, build
from models.registry import models
from pruning import Mask
from tests.conftest import Listener, Outcome

IMAGES = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def run_of(root: Path, kind: str) -> Path:
    [path] = root.glob(f"{kind}_*/replicate_1")
    return path


@pytest.fixture
def ticket(root: Path) -> Subnetwork:
    return find_subnetwork(run_of(root, "lottery"))


def fresh_model() -> torch.nn.Module:
    """A user's own module with the same names and shapes."""
    return build(ModelHparams(model="mnist_lenet_4"), ImageShape(1, 8, 8, 10), Seeds(9).generator("user")).eval()


def test_what_is_found_is_the_ticket_of_the_run(root: Path, ticket: Subnetwork) -> None:
    model, mask = open_run(run_of(root, "lottery")).ticket(level=1)
    assert ticket.mask == mask
    assert torch.equal(ticket.model(IMAGES), model(IMAGES))


def test_plain_safetensors_fit_a_module_of_the_same_names(ticket: Subnetwork, tmp_path: Path) -> None:
    export(ticket, "safetensors", tmp_path / "out", Reporter())
    model, mask = fresh_model(), load_file(tmp_path / "out/mask.safetensors")
    model.load_state_dict(load_file(tmp_path / "out/model.safetensors"))
    assert torch.equal(model(IMAGES), ticket.model(IMAGES))
    assert mask.keys() == ticket.mask.keys()
    assert not any(model.get_parameter(name)[~kept].any() for name, kept in mask.items())
    with safe_open(tmp_path / "out/model.safetensors", "pt") as file:
        about = json.loads(file.metadata()["adsynflow"])
    assert about["input_shape"] == [1, 8, 8]
    assert len(about["normalization"]["mean"]) == 1


def test_a_state_dict_in_the_form_of_torchs_own_pruning(ticket: Subnetwork, tmp_path: Path) -> None:
    export(ticket, "torch", tmp_path / "out", Reporter())
    tensors = torch.load(tmp_path / "out/ticket.pt", weights_only=True)
    model = fresh_model()
    for name in [name for name in tensors if name.endswith("_mask")]:
        layer, _, parameter = name.removesuffix("_mask").rpartition(".")
        prune.custom_from_mask(model.get_submodule(layer), parameter, tensors[name])
    model.load_state_dict(tensors)
    assert torch.equal(model(IMAGES), ticket.model(IMAGES))
    program = torch.export.load(tmp_path / "out/network.pt2").module()
    torch.testing.assert_close(program(IMAGES), ticket.model(IMAGES))


@pytest.mark.parametrize("form", ["safetensors", "torch", "parametrize", "sparse"])
def test_the_code_on_the_model_card_loads_it(
    form: str, ticket: Subnetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(ticket, form, tmp_path / "out", Reporter())
    monkeypatch.chdir(tmp_path / "out")
    loading = Path("README.md").read_text().partition("## Loading it")[2]
    code, *_ = re.findall(r"```python\n(.*?)```", loading, flags=re.DOTALL)
    variables = {"model": fresh_model()}
    exec(code, variables)
    assert torch.equal(variables["model"](IMAGES), ticket.model(IMAGES))


def test_a_mask_as_a_parametrization_stays_on_in_training(ticket: Subnetwork, tmp_path: Path) -> None:
    export(ticket, "parametrize", tmp_path / "out", Reporter())
    tensors = torch.load(tmp_path / "out/ticket.pt", weights_only=True)
    assert tensors["fc.parametrizations.weight.0.mask"].dtype == torch.bool
    assert torch.equal(tensors["fc.parametrizations.weight.0.mask"], ticket.mask["fc.weight"])


def test_sparse_tensors_hold_the_kept_weights_alone(ticket: Subnetwork, tmp_path: Path) -> None:
    export(ticket, "sparse", tmp_path / "out", Reporter())
    tensors = torch.load(tmp_path / "out/sparse.pt", weights_only=True)
    found = {name: tensors[name].values().numel() for name in ticket.mask}
    assert found == {name: int(entry.sum()) for name, entry in ticket.mask.items()}
    features = torch.rand(tensors["fc.weight"].shape[1], 3)
    torch.testing.assert_close(tensors["fc.weight"] @ features, ticket.model.get_parameter("fc.weight") @ features)


def test_the_hugging_face_layout(ticket: Subnetwork, tmp_path: Path) -> None:
    export(ticket, "huggingface", tmp_path / "out", Reporter())
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["model"]["model"] == "mnist_lenet_4"
    assert config["density"] == ticket.mask.density
    assert load_file(tmp_path / "out/model.safetensors").keys() == ticket.model.state_dict().keys()


def test_onnx_of_the_compact_network(ticket: Subnetwork, tmp_path: Path, listener: Listener) -> None:
    import onnx
    import onnxruntime

    network = {**ticket.network, "model": {**ticket.network["model"], "model": "mnist_lenet_32"}}
    wide = replace(ticket, network=network)
    wide = replace(wide, model=wide.fresh("initialization"))
    wide = replace(wide, mask=Mask({**Mask.ones(wide.model), "fc.weight": torch.arange(32).expand(10, 32) < 8}))
    wide.mask.apply_(wide.model)
    export(wide.compacted(), "onnx", tmp_path / "out", listener)
    assert [file.name for file in sorted((tmp_path / "out").iterdir())] == ["README.md", "network.json", "network.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "out/network.onnx", providers=["CPUExecutionProvider"])
    [logits] = session.run(None, {"images": IMAGES.numpy()})
    np.testing.assert_allclose(logits, wide.model(IMAGES).detach().numpy(), atol=1e-5)
    [entry] = onnx.load(tmp_path / "out/network.onnx").metadata_props
    assert json.loads(entry.value)["compact"] is True
    assert "within" in listener.said[0]
    pattern = r"\d+\.\d\d times as fast as the dense network \(ratio of the medians; (.*) to (.*) in 15 turns\)"
    slowest, fastest = map(float, re.search(pattern, listener.said[1]).groups())
    assert slowest <= fastest


def test_where_nothing_can_be_taken_out_nothing_is_timed(
    ticket: Subnetwork, tmp_path: Path, listener: Listener, command: Callable[..., Outcome]
) -> None:
    dense = replace(ticket, mask=Mask.ones(ticket.model))
    assert dense.compacted() is dense
    export(dense, "onnx", tmp_path / "out", listener)
    assert not any("as fast" in line for line in listener.said)
    dense_run = str(run_of(tmp_path / "runs", "train"))
    outcome = command("export", dense_run, "--compact", f"--output={tmp_path / 'ticket'}")
    assert "nothing can be taken out" in outcome.err


def test_what_was_written_is_compared_with_the_network_once(ticket: Subnetwork, tmp_path: Path) -> None:
    """A number of the network that its state dict lacks: a file of the state alone is of no use to others."""

    class Scaled(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module, factor: float) -> None:
            super().__init__()
            self.inner, self.factor = inner, factor

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.inner(images) * self.factor

    @models.register("scaled_net")
    def scaled_net(shape: ImageShape) -> torch.nn.Module:
        return Scaled(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), float(torch.rand(())))

    network = {**ticket.network, "model": {**ticket.network["model"], "model": "scaled_net"}}
    subnetwork = replace(ticket, network=network, mask=Mask({}))
    scaled = replace(subnetwork, model=subnetwork.fresh("initialization"))
    with pytest.raises(UsageError, match=r"model.safetensors: its outputs are .* from PyTorch's"):
        export(scaled, "safetensors", tmp_path / "out", Reporter())
    assert not (tmp_path / "out").exists()


def test_the_plug_in_of_a_run_is_known(command: Callable[..., Outcome], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_net.py").write_text(
        "from torch import nn\nfrom models import models\n@models.register('my_net')\ndef my_net(shape):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    flags = ["--dataset=digits", "--model=my_net", "--training_steps=1it", "--plugin=my_net.py", "--root=own"]

    def in_new_process(*argv: str) -> Outcome:
        sys.modules.pop("adsynflow_plugin_my_net", None)
        with models.temporarily():
            return command(*argv)

    assert in_new_process("train", *flags).code == 0
    [run] = Path("own").glob("train_*/replicate_1")
    assert in_new_process("export", str(run), "--output=a").code == 0
    Path("my_net.py").write_text(Path("my_net.py").read_text().replace("Flatten", "Identity"))
    outcome = in_new_process("export", str(run), "--output=b")
    assert outcome.code == 2
    assert "computed with the plug-in my_net; my_net.py or a module that it imports has changed since" in outcome.err


def test_an_export_that_is_wrong_is_refused_and_leaves_nothing(ticket: Subnetwork, tmp_path: Path) -> None:
    from experiments.exchange.formats import agreement

    with pytest.raises(UsageError, match=r"its outputs are .* of the largest from PyTorch's"):
        agreement(ticket, lambda images: ticket.model(images) * 1.001, "somebody's runtime")
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match=r"--output=.*there: exists already"):
        export(ticket, "safetensors", tmp_path / "there", Reporter())
    with pytest.raises(UsageError, match=r"--format=onx: unknown format \(did you mean 'onnx'\?\)"):
        export(ticket, "onx", tmp_path / "other", Reporter())
    assert [file.name for file in tmp_path.iterdir() if file.name != "runs"] == ["there"]


def test_the_card_says_what_how_and_whose_data(ticket: Subnetwork, tmp_path: Path) -> None:
    export(ticket, "safetensors", tmp_path / "out", Reporter())
    card = (tmp_path / "out/README.md").read_text()
    accuracy = ticket.part.result()["test_accuracy"]
    for part in ("# mnist_lenet_4 at 10.14%", f"test accuracy: {accuracy:.2%}", "session.lottery(", "CC BY 4.0"):
        assert part in card


def test_branches_and_dense_trainings_can_be_taken_away_too(root: Path) -> None:
    [branch] = run_of(root, "lottery").glob("level_1/*_*/done.json")
    assert find_subnetwork(branch.parent).part.name == f"level_1/{branch.parent.name}"
    assert find_subnetwork(run_of(root, "train")).mask.density == 1
    with pytest.raises(UsageError, match="no trained network; valid: level_1"):
        find_subnetwork(run_of(root, "lottery") / "level_7")


def test_a_run_that_has_lost_network_json_is_refused_with_the_way_on(root: Path) -> None:
    (run_of(root, "lottery") / "network.json").unlink()
    with pytest.raises(UsageError, match=r"network.json is missing; the command that made the run writes it again"):
        find_subnetwork(run_of(root, "lottery"))


def test_network_json_agrees_with_the_data_set(root: Path) -> None:
    runs = Session(root, quiet=True).lottery(dataset="digits", model="mnist_lenet_4", training_steps="2ep", k="1ep")
    data = runs[0].level(0).trunk.data
    entries = json.loads((run_of(root, "lottery") / "network.json").read_text())
    assert entries["class_names"] == list(data.class_names)
    image, _ = next(data.evaluation_batches("test", batch_size=1))
    pixels = data.images["test"][0, :, :, 0].float() / 255
    mean, std = entries["normalization"]["mean"][0], entries["normalization"]["std"][0]
    torch.testing.assert_close(image[0, 0], (pixels - mean) / std)
