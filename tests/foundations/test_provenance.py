"""Whose code is it, and has it changed? Plug-ins here are files and packages of a few lines."""

import functools
import importlib
import importlib.util
import itertools
import linecache
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from foundations import provenance
from foundations.provenance import commit_of, fingerprint, plugin_of, plugins_of
from foundations.store import Store
from pruning import Mask, Strategy
from training.data import datasets

METHOD = '''
"""A method."""
import torch
from pruning import Strategy

class Method:
    """Keeps what is large."""
    strength = 2.0
    "Its strength."

    def score(self, weights):
        return weights.abs() * self.strength
'''


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """``load(text)`` writes a file and imports it as a new process would, as ``--plugin`` does."""

    def loaded(text: str, name: str = "my_method") -> ModuleType:
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(f"adsynflow_plugin_{name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        spec.loader.exec_module(module)
        return module

    return loaded


@pytest.mark.parametrize("thing", [Store, Mask, Strategy, plugin_of, datasets.get("digits"), torch.optim.SGD, len, 1])
def test_what_is_ours_python_s_or_a_library_s_is_no_plugin(thing: object) -> None:
    assert plugin_of(thing) is None
    assert plugin_of(functools.partial(thing, 1) if callable(thing) else thing) is None


def test_a_class_derived_from_one_of_ours_is_its_file_s(load: Callable[..., Any]) -> None:
    module = load("from pruning.methods.magnitude import Magnitude\nclass Mine(Magnitude): pass\n")
    plugin = plugin_of(module.Mine)
    assert plugin is not None
    assert (plugin.name, plugin.label) == ("my_method", "my_method.py")
    assert plugin_of(functools.partial(module.Mine)) == plugin
    assert plugins_of([Store, module.Mine, module.Mine]) == [plugin]


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("    def score", "    # Faster.\n    def score", True),
        ("weights.abs() * self.strength", "(\n            weights.abs()*self.strength)", True),
        ("Keeps what is large.", "Keeps large weights.", True),
        ("Its strength.", "How strong it is.", True),
        ("weights.abs() * self", "weights.abs() + self", False),
        ("2.0", "2.5", False),
        ("import torch\n", "import math\nimport torch\n", False),
    ],
)
def test_what_changes_a_fingerprint(before: str, after: str, same: bool, load: Callable[..., Any]) -> None:
    assert before in METHOD
    first, second = fingerprint(load(METHOD)), fingerprint(load(METHOD.replace(before, after)))
    assert (first == second) is same


def test_the_source_counts_as_it_was_when_it_was_loaded(load: Callable[..., Any]) -> None:
    module = load(METHOD)
    before = fingerprint(module)
    Path(module.__file__).write_text(METHOD.replace("2.0", "3.0"))
    assert fingerprint(module) == before


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """``package(**files)`` writes files that lie on Python's path; the fingerprint of my_package.method."""
    monkeypatch.syspath_prepend(tmp_path)
    texts = {
        "my_package/__init__.py": "",
        "my_package/method.py": "from .parts import scale\ndef score(x):\n    import lazy\n    return scale.by(x)\n",
        "my_package/other.py": "x = 1\n",
        "my_package/parts/__init__.py": "",
        "my_package/parts/scale.py": "from my_package import method\nimport helper\ndef by(x): return 2 * x\n",
        "helper.py": "y = 1\n",
        "lazy.py": "z = 1\n",
        "unrelated.py": "u = 1\n",
    }

    def written(changes: dict[str, str] | None = None) -> str:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("my_package", "helper")]:
            monkeypatch.delitem(sys.modules, name)
        for name, text in {**texts, **(changes or {})}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        importlib.invalidate_caches()
        return fingerprint(importlib.import_module("my_package.method"))

    return written


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("my_package/parts/scale.py", True),
        ("my_package/parts/__init__.py", True),
        ("my_package/__init__.py", True),
        ("helper.py", True),
        ("lazy.py", True),
        ("my_package/other.py", False),
        ("unrelated.py", False),
    ],
)
def test_modules_that_it_imports_count_wherever_the_import_stands(
    name: str, counts: bool, package: Callable[..., str]
) -> None:
    changed = {name: "from my_package import method\nimport helper\ndef by(x): return 3 * x\n"}
    assert (package() != package(changed)) is counts


def test_what_else_is_loaded_changes_nothing(package: Callable[..., str]) -> None:
    before = package()
    module = sys.modules["my_package.method"]
    importlib.import_module("my_package.other")
    fingerprint.cache_clear()
    assert fingerprint(module) == before


def test_installed_packages_count_only_if_they_are_the_plugin_s_own(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    assert provenance.is_own("mine.part", site / "mine" / "part.py", "mine")
    assert not provenance.is_own("scipy.linalg", site / "scipy" / "linalg.py", "mine")
    assert provenance.is_own("beside", tmp_path / "beside.py", "mine")
    assert not provenance.is_own("json", tmp_path / "json.py", "mine")
    assert not provenance.is_own("pruning.mask", provenance.home() / "pruning" / "mask.py", "mine")


def git(directory: Path, *arguments: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *who, *arguments], cwd=directory, check=True, capture_output=True)


def test_the_record_has_a_relative_path_and_the_commit_of_the_plugin_s_checkout(
    load: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    plugin = plugin_of(load(METHOD).Method)
    assert plugin is not None
    assert plugin.record() == {"file": "my_method.py", "sha256": plugin.sha256, "commit": None}
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    clean = commit_of(tmp_path)
    assert clean is not None
    assert len(clean) == 40
    (tmp_path / "my_method.py").write_text("")
    assert commit_of(tmp_path) == f"{clean}+"


def test_our_commit_tells_changed_states_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(provenance, "home", lambda: tmp_path)
    commit = provenance.commit.__wrapped__
    assert commit() is None
    git(tmp_path, "init")
    (tmp_path / "pruning").mkdir()
    (tmp_path / "pruning" / "mask.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    clean = commit()
    (tmp_path / "notes.txt").write_text("no part of the program")
    assert commit() == clean
    states = []
    for name, text in (("mask.py", "a = 2\n"), ("mask.py", "a = 3\n"), ("new.py", "b = 1\n"), ("new.py", "b = 2\n")):
        (tmp_path / "pruning" / name).write_text(text)
        states.append(commit())
        assert commit() == states[-1]
    assert len(set(states)) == 4
    assert all(state.startswith(f"{clean}+") and len(state) == 49 for state in states)


# Notebooks -------------------------------------------------------------------------------------------------------


CELLS = itertools.count(1)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """``notebook(text)["Method"]`` is what a cell defines; as in IPython, ``__main__`` has no file."""
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)

    def run(text: str, *, kept: bool = True) -> Any:
        name = f"<ipython-input-{next(CELLS)}>"
        if kept:
            linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
        exec(compile(text, name, "exec"), main.__dict__)
        return main.__dict__

    return run


def test_of_a_notebook_the_definition_alone_counts(notebook: Callable[..., Any]) -> None:
    first = plugin_of(notebook(METHOD)["Method"])
    assert first is not None
    assert first.name == "__main__.Method"
    assert first.path is None
    assert first.sha256 is not None
    commented = METHOD.replace("Keeps what is large.", "Keeps.").replace("import torch", "import torch  # of course")
    assert plugin_of(notebook(f"{commented}\nprint(1)")["Method"]) == first
    edited = plugin_of(notebook(METHOD.replace("strength = 2.0", "strength = 3.0"))["Method"])
    assert edited is not None
    assert edited.sha256 not in (None, first.sha256)


def test_a_function_of_a_notebook_counts_by_its_definition(notebook: Callable[..., Any]) -> None:
    first = plugin_of(notebook("def net(shape):\n    return 1\n")["net"])
    second = plugin_of(notebook("def net(shape):\n    return 2\n")["net"])
    assert first is not None
    assert second is not None
    assert None not in (first.sha256, second.sha256)
    assert first.sha256 != second.sha256


def test_what_is_typed_at_a_plain_prompt_has_no_source(notebook: Callable[..., Any]) -> None:
    plugin = plugin_of(notebook(METHOD, kept=False)["Method"])
    assert plugin is not None
    assert plugin.record() == {"file": None, "sha256": None, "commit": None}


def test_a_program_read_from_standard_input_has_no_file(notebook: Callable[..., Any]) -> None:
    sys.modules["__main__"].__file__ = "<stdin>"
    plugin = plugin_of(notebook(METHOD, kept=False)["Method"])
    assert plugin is not None
    assert plugin.path is None
