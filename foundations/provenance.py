"""Which source code a result was computed by: that of plug-ins by fingerprint, ours by commit.

A descriptor's key says *what* was asked for by name. Names of ours mean the same in every run of one commit; what a
plug-in's name means changes whenever its author edits the file, so that its source belongs to the result.
"""

import ast
import functools
import hashlib
import importlib.machinery
import importlib.util
import inspect
import linecache
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

OURS = (
    "foundations", "models", "pruning", "training", "lottery", "stability", "experiments", "cli", "adsynflow",
    "main.py",
)  # fmt: skip
"""Our packages and modules in the directory of this checkout."""
LIBRARIES = {"torch", "torchvision", "numpy"}
"""Their versions are recorded by themselves."""


@dataclass(frozen=True)
class Plugin:
    """A module of somebody else's that defines a strategy, model, data set or branch."""

    name: str
    path: Path | None
    """Its file; None for what was typed into a notebook."""
    sha256: str | None
    """See :func:`fingerprint`; None if there is no source to be found."""

    @property
    def label(self) -> str:
        return self.path.name if self.path else self.name

    def record(self) -> dict[str, Any]:
        return {
            "file": None if self.path is None else short(self.path),
            "sha256": self.sha256,
            "commit": None if self.path is None else commit_of(self.path.parent),
        }


def plugins_of(code: Iterable[object]) -> list[Plugin]:
    """Return the plug-ins that define some of the given classes and functions: no modules of ours or of libraries."""
    found = {plugin.name: plugin for plugin in map(plugin_of, code) if plugin}
    return [found[name] for name in sorted(found)]


def plugin_of(thing: object) -> Plugin | None:
    """Return the plug-in that defines a class or a function; None if it is one of ours or of a library."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    top = module.__name__.partition(".")[0] if module else ""
    if module is None or top in LIBRARIES or (top != "__main__" and top in sys.stdlib_module_names):
        return None
    file = getattr(module, "__file__", None)
    if not file or not Path(file).is_file():  # a notebook, a prompt, or "<stdin>"
        name = getattr(thing, "__qualname__", type(thing).__qualname__)
        return Plugin(f"{module.__name__}.{name}", None, fingerprint_of_definition(thing))
    path = Path(file).resolve()
    if is_ours(path):
        return None
    package = "." in module.__name__ or path.name == "__init__.py"
    return Plugin(module.__name__ if package else path.stem, path, fingerprint(module))


def is_ours(path: Path) -> bool:
    """Return whether a file is part of this program; the tests and other files of the checkout are not."""
    return path.is_relative_to(home()) and path.relative_to(home()).parts[0] in OURS


def home() -> Path:
    return Path(__file__).resolve().parent.parent


def short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


# Fingerprints of source ------------------------------------------------------------------------------------------


@functools.cache
def fingerprint(module: ModuleType) -> str:
    """Return the sha256 of a module's source and of the modules of the plug-in's own that it imports, directly or not.

    Comments, docstrings and formatting do not count. The plug-in's own are all modules that are neither ours nor
    Python's nor, if they are not of the module's own package, installed ones. They are found by the import statements
    in the source, not in what is loaded, so that the answer does not depend on what else the process has done; a
    module that is imported by a computed name is not seen. The answer of the first call holds as long as the module
    is loaded: what runs is the source as it was then.
    """
    assert module.__file__ is not None
    name, top = module.__name__, module.__name__.partition(".")[0]
    waiting = [(name, Path(module.__file__).resolve())]
    sources: dict[Path, str] = {}
    while waiting:
        name, path = waiting.pop()
        if path in sources:
            continue
        sources[path], tree = read_source(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [entry for entry in imported(tree, package) if is_own(*entry, top)]
    first, *others = sources.values()
    return hashlib.sha256("\0".join([first, *sorted(others)]).encode()).hexdigest()


def fingerprint_of_file(path: Path) -> str:
    module = ModuleType(f"adsynflow_plugin_{path.stem}")
    module.__file__ = str(path)
    return fingerprint(module)


def fingerprint_of_definition(thing: object) -> str | None:
    """Return the sha256 of the source of a class or function alone; None at a plain prompt."""
    source = definition_in_cell(thing)
    return None if source is None else hashlib.sha256(source.encode()).hexdigest()


def definition_in_cell(thing: object) -> str | None:
    """Return the source, in its normal form, of what is typed into a notebook, whose cells ``linecache`` holds.

    ``inspect.getsource`` finds that of functions, but not of classes: it looks for the file of their module.
    """
    for function in (thing, *vars(thing).values()) if isinstance(thing, type) else (thing,):
        if not inspect.isfunction(function):
            continue
        try:
            tree = ast.parse("".join(linecache.getlines(function.__code__.co_filename)))
        except SyntaxError:
            continue
        name = getattr(thing, "__name__", None)
        definitions = [
            node for node in ast.walk(tree) if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name
        ]
        if definitions:
            return ast.unparse(WithoutDocstrings().visit(definitions[-1]))
    return None


def read_source(path: Path) -> tuple[str, ast.Module]:
    """Return a file's source in a normal form, and its syntax tree; a file that is not Python counts by its bytes."""
    content = path.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return hashlib.sha256(content).hexdigest(), ast.Module([], [])
    return ast.unparse(WithoutDocstrings().visit(tree)), tree


class WithoutDocstrings(ast.NodeTransformer):
    """Takes out texts that are statements: docstrings, also those below fields."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


def imported(tree: ast.Module, package: str) -> Iterator[tuple[str, Path]]:
    """Yield names and files of the modules that import statements in a module of ``package`` may mean."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                parents = package.split(".")
                parents = parents[: len(parents) - node.level + 1]
                origin = ".".join([*parents, *filter(None, [origin])])
            names = [f"{origin}.{alias.name}" for alias in node.names]  # a module or something in it
        else:
            continue
        for name in names:
            yield from located(name)


def located(name: str) -> Iterator[tuple[str, Path]]:
    """Yield names and files of the modules that importing a dotted name would run, parents first; nothing is run."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return
    while spec is not None:
        if spec.origin and Path(spec.origin).is_file():
            yield spec.name, Path(spec.origin).resolve()
        if not rest or spec.submodule_search_locations is None:
            return
        spec = importlib.machinery.PathFinder.find_spec(f"{spec.name}.{rest.pop(0)}", spec.submodule_search_locations)


def is_own(name: str, path: Path, top: str) -> bool:
    package = name.partition(".")[0]
    if package in sys.stdlib_module_names or is_ours(path):
        return False
    return package == top or not {"site-packages", "dist-packages"} & set(path.parts)


# Commits ---------------------------------------------------------------------------------------------------------


@functools.cache
def commit() -> str | None:
    """Return the commit of this checkout; None outside a checkout.

    If what is ours has changes, ``+`` follows and 8 hex digits of a sha256 of these.
    """
    head = git(home(), "rev-parse", "HEAD")
    if head is None:
        return None
    changes = git(home(), "diff", "--no-ext-diff", "--no-color", "HEAD", "--", *OURS) or b""
    new = git(home(), "ls-files", "-z", "--others", "--exclude-standard", "--", *OURS) or b""
    for name in filter(None, new.decode(errors="surrogateescape").split("\0")):
        changes += name.encode(errors="surrogateescape") + (home() / name).read_bytes()
    return head.decode().strip() + (f"+{hashlib.sha256(changes).hexdigest()[:8]}" if changes else "")


def commit_of(directory: Path) -> str | None:
    """Return the commit of another checkout, with ``+`` if it has changes; None outside a checkout."""
    head = git(directory, "rev-parse", "HEAD")
    return None if head is None else head.decode().strip() + ("+" if git(directory, "status", "--porcelain") else "")


def git(directory: Path, *arguments: str) -> bytes | None:
    try:
        return subprocess.run(["git", *arguments], cwd=directory, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
