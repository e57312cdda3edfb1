"""The packages' order, kept by their syntax trees: imports go downward, and siblings do not know each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent
BELOW = {
    "foundations": set(),
    "models": {"foundations"},
    "pruning": {"foundations"},
    "training": {"foundations", "models", "pruning"},
    "lottery": {"foundations", "models", "pruning", "training"},
    "stability": {"foundations", "models", "pruning", "training", "lottery"},
    "experiments": {"foundations", "models", "pruning", "training", "lottery", "stability"},
    "cli": {"foundations", "models", "pruning", "training", "lottery", "stability", "experiments"},
}
SLOW = {"torchvision", "timm", "matplotlib"}
ROOMS = [
    {"measurements"},
    {"options"},
    {"runs"},
    {"report"},
    {"workspace"},
    {"run"},
    {"define"},
    {"plugins", "exchange", "checks"},
    {"session"},
    {"engines", "export", "stable_k", "trackers"},  # names that plug-ins of earlier versions import
]
"""The rooms of experiments/ from the bottom up: each imports itself and those of lines above."""

def sources() -> list[Path]:
    return [path for package in BELOW for path in sorted((HOME / package).rglob("*.py"))]


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The top-level names that import statements among ``nodes`` name; a relative import is refused."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, from the checkout's root"
            yield str(node.module).partition(".")[0]


def at_import_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Everything in a module but the bodies of its functions and what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not for_types and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield node
            yield from at_import_time(node)


def modules_of_experiments(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The modules within ``experiments`` that import statements among ``nodes`` name."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "experiments":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("experiments."):
            yield str(node.module).removeprefix("experiments.")


def floor_of(module: str) -> int:
    """The line of ``ROOMS`` that a module's room stands on."""
    room = module.partition(".")[0]
    return next(place for place, line in enumerate(ROOMS) if room in line)


def at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Everything in a module, bodies of functions included, but what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from at_run_time(node)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(HOME)))
def test_imports_go_downward(path: Path) -> None:
    package = path.relative_to(HOME).parts[0]
    ours = set(imported(ast.walk(ast.parse(path.read_text())))) & set(BELOW)
    assert ours <= BELOW[package] | {package}


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(HOME)))
def test_slow_libraries_are_imported_where_they_are_used(path: Path) -> None:
    assert not set(imported(at_import_time(ast.parse(path.read_text())))) & SLOW


@pytest.mark.parametrize(
    "path", sorted((HOME / "experiments").rglob("*.py")), ids=lambda path: str(path.relative_to(HOME / "experiments"))
)
def test_imports_within_experiments_go_downward(path: Path) -> None:
    """Also within functions; what only type checkers read does not count."""
    own = ".".join(path.relative_to(HOME / "experiments").with_suffix("").parts).removesuffix(".__init__")
    for module in modules_of_experiments(at_run_time(ast.parse(path.read_text()))):
        assert floor_of(module) <= floor_of(own), f"{own} imports {module}"


@pytest.mark.parametrize("path", sorted((HOME / "experiments/define").glob("*.py")), ids=lambda path: path.stem)
def test_what_defines_experiments_knows_no_reports(path: Path) -> None:
    assert not [module for module in modules_of_experiments(ast.walk(ast.parse(path.read_text())))
                if module.startswith("report")]  # fmt: skip


def test_the_public_face_re_exports_and_does_nothing_else() -> None:
    import adsynflow

    _, *imports, exported = ast.parse((HOME / "adsynflow" / "__init__.py").read_text()).body
    assert all(isinstance(node, ast.ImportFrom) for node in imports)
    assert isinstance(exported, ast.Assign)
    names = ast.literal_eval(exported.value)
    assert ast.unparse(exported.targets[0]) == "__all__"
    assert names == sorted(names)
    assert set(names) == {
        alias.asname or alias.name for node in imports if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert all(hasattr(adsynflow, name) for name in names)


def test_every_package_is_there() -> None:
    assert {path.relative_to(HOME).parts[0] for path in sources()} == set(BELOW)


def test_what_the_check_sees() -> None:
    lines = (
        "import a.b",
        "if x: from c import d",
        "if TYPE_CHECKING: import matplotlib",
        "def f(): import matplotlib",
    )
    tree = ast.parse("\n".join(lines))
    assert list(imported(at_import_time(tree))) == ["a", "c"]
    assert set(imported(ast.walk(tree))) == {"a", "c", "matplotlib"}


def test_main_is_nothing_but_the_call() -> None:
    body = ast.parse((HOME / "main.py").read_text()).body
    statements = [ast.unparse(statement) for statement in body if not isinstance(statement, ast.Expr)]
    assert statements == [
        "import sys",
        "from cli import main",
        "if __name__ == '__main__':\n    sys.exit(main())",
    ]
