"""The bridge from dataclasses to flags."""

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from cli.lists import expand
from cli.selection import select

import cli
import cli.running
from cli.flags import Parser, Section, expand_range, make_parser, parse, parse_value, show
from foundations.errors import UsageError
from foundations.hparams import Hparams, field_docs, hp
from foundations.reporting import Reporter
from foundations.steps import Step
from lottery.branch import branches
from pruning import strategies


@dataclass(frozen=True, kw_only=True)
class Oven(Hparams):
    heat: float = hp(180.0, within="(0, 300]")
    """Degrees, 100% of them."""
    fan: bool = hp(False)
    """Blow."""
    minutes: tuple[int, ...] = hp((10,))
    """How long."""
    until: Step | None = hp(None)
    """When to stop."""


def values(*argv: str, **defaults: Any) -> dict[str, Any]:
    sections = [Section("oven", Oven, defaults)]
    return parse(make_parser("bake", "", sections), sections, argv, {"steam": "belongs to --oven=new"})


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--heat=200"], {"heat": 200.0}),
        (["--heat", "200"], {"heat": 200.0}),
        (["--heat=200", "--heat=90"], {"heat": 90.0}),  # the last one wins
        (["--fan"], {"fan": True}),
        (["--fan", "--heat=1"], {"fan": True, "heat": 1.0}),
        (["--fan=False"], {"fan": False}),  # type=bool would make this true
        (["--fan=1", "--minutes=1,3-5"], {"fan": True, "minutes": (1, 3, 4, 5)}),
        (["--until=3ep"], {"until": Step("3ep")}),
        ([], {}),
    ],
)
def test_flags_become_values_of_their_fields_type(argv: list[str], expected: dict[str, Any]) -> None:
    assert values(*argv) == expected


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--hea=200"], r"--hea: unknown flag \(did you mean '--heat'\?\); --help lists the valid ones"),
        (["--heat=hot"], "--heat=hot: expected a number"),
        (["--until=soon"], "--until=soon: 'soon' is not a step"),
        (["--minutes=5-1"], "--minutes=5-1: the range 5-1 is empty"),
        (["--steam"], "--steam belongs to --oven=new"),
        (["hot"], "hot: not a flag"),
    ],
)
def test_what_does_not_fit_is_named(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        values(*argv)


@pytest.mark.parametrize("value", [0.1, 1e-05, 3, True, False, "text", Step("3ep50it"), (Step("1ep"), Step("20it"))])
def test_what_is_shown_is_read_back(value: Any) -> None:
    hint = tuple[Step, ...] if isinstance(value, tuple) else type(value)
    assert parse_value("flag", show(value), hint) == value


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("0,2-4", ["0", "2", "3", "4"]),
        ("7-7", ["7"]),
        ("10ep,2000it", ["10ep", "2000it"]),
        ("1e-05,0.1", ["1e-05", "0.1"]),  # a dash in a number is no range
        ("a-b", ["a-b"]),
        ("1,,2", ["1", "2"]),
    ],
)
def test_ranges(text: str, parts: list[str]) -> None:
    assert expand_range(text) == parts


def test_lists_give_every_combination_the_replicate_fastest() -> None:
    assert expand(["--replicate=1-2", "--lr=0.1", "--k", "0,5ep"]) == [
        ["--lr=0.1", "--k=0", "--replicate=1"],
        ["--lr=0.1", "--k=0", "--replicate=2"],
        ["--lr=0.1", "--k=5ep", "--replicate=1"],
        ["--lr=0.1", "--k=5ep", "--replicate=2"],
    ]


def test_a_list_given_twice_has_the_last_value_and_no_value_twice() -> None:
    assert expand(["--k=1,2", "--k=3,3"]) == [["--k=3"]]


def test_a_list_that_a_command_does_not_have_stays_as_it_is() -> None:
    assert expand(["--k=1,2"], ["replicate"]) == [["--k=1,2"]]


def test_defaults_of_the_selection_go_before_the_dataclasses() -> None:
    argv = ["--model=cifar_resnet_20", "--pruning_strategy=sparse_global"]
    defaults = select(argv, prunes=True, reporter=Reporter()).defaults
    assert (defaults["lr"], defaults["k"], defaults["score_at"]) == (0.01, "0ep", "end")
    assert select(argv[:1], prunes=True, reporter=Reporter()).defaults["k"] == Step("30ep")  # the recipe's


def test_the_environment_names_the_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADSYNFLOW_ROOT", "/somewhere")
    monkeypatch.setenv("ADSYNFLOW_DATA", "")
    defaults = select([], prunes=False, reporter=Reporter()).defaults
    assert defaults["root"] == "/somewhere"
    assert "data_dir" not in defaults


# Help ----------------------------------------------------------------------------------------------------------------


def help_of(*argv: str) -> tuple[str, list[Section]]:
    """What ``--help`` prints, and the sections that it was made of."""
    seen: list[Section] = []

    def spy(prog: str, summary: str, sections: Iterable[Section]) -> Parser:
        seen[:] = sections
        return make_parser(prog, summary, seen)

    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(cli.running, "make_parser", spy)
        assert cli.main([*argv, "--help"]) == 0
    return printed.getvalue(), seen


COMMAND_LINES = [
    ["train"],
    *(["lottery", f"--pruning_strategy={name}"] for name in strategies),
    *(["lottery_branch", name] for name in branches),
    ["stability"],
    ["stability", "--pruning_strategy=none"],
]


@pytest.mark.parametrize("argv", COMMAND_LINES, ids=" ".join)
def test_every_flag_has_a_help_text(argv: list[str]) -> None:
    """The docstring below its field; this fails when one is missing."""
    _, sections = help_of(*argv)
    assert sections
    for section in sections:
        docs = field_docs(section.cls)
        assert [item.name for item in section.items() if not docs.get(item.name, "").strip()] == []


@pytest.mark.parametrize("argv", COMMAND_LINES, ids=" ".join)
def test_help_lists_every_flag_once_and_in_its_group(argv: list[str]) -> None:
    text, sections = help_of(*argv)
    assert text.count("usage:") == 1
    for section in sections:
        group = text.partition(f"\n{section.title}:\n")[2].split("\n\n")[0]
        for item in section.items():
            assert text.count(f"\n  --{item.name} ") == 1
            assert f"\n  --{item.name} " in f"\n{group}"


def test_the_help_has_defaults_and_intervals_and_comes_once_for_several_runs() -> None:
    text, _ = help_of("lottery", "--replicate=1-3")
    assert text.count("usage:") == 1
    assert "Learning rate before any drop. [in (0, inf); default 0.01]" in " ".join(text.split())


def test_the_help_of_a_strategy_shows_its_own_flags_only() -> None:
    assert "--synflow_input {ones,image,mean,batch}" in help_of("lottery", "--pruning_strategy=synflow")[0]
    assert "--synflow_input" not in help_of("lottery", "--pruning_strategy=random")[0]


def test_percent_signs_in_a_help_text_survive() -> None:
    assert "Degrees, 100% of them." in make_parser("bake", "", [Section("oven", Oven)]).format_help()
