"""The bridge from dataclasses to flags."""

import contextlib
import io
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import pytest

import cli
import cli.command_line
from cli.command_line import read_command, refuse, split, typed
from cli.flags import Parser, expand_range, make_parser, parse_flag, parse_value
from experiments.define.defaults import Section
from foundations.errors import UsageError
from foundations.hparams import Hparams, field_docs, hp
from foundations.hparams import as_text as show
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


def values(*argv: str) -> dict[str, Any]:
    """The typed values that a command line of ``Oven``'s flags gives."""
    hints = get_type_hints(Oven)
    known = {item.name: (item, hints[item.name]) for item in fields(Oven)}
    texts, unknown = split(argv, known)
    for token in unknown:
        refuse(token, [Section("oven", Oven)])
    return {name: typed(name, given, *known[name]) for name, given in texts.items()}


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
        (["--heat=1,2.5"], {"heat": [1.0, 2.5]}),  # a list of alternatives
        (["--heat=1e-05,0.1"], {"heat": [1e-05, 0.1]}),  # a dash in a number is no range
        (["--fan=true,false"], {"fan": [True, False]}),
        (["--until=1-3,20it"], {"until": [Step("1ep"), Step("2ep"), Step("3ep"), Step("20it")]}),
        (["--minutes=1;2-3"], {"minutes": [(1,), (2, 3)]}),  # of a flag that is a list itself
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
        (["--heat"], "--heat: a value is missing"),
        (["--until="], "--until=: a value is missing"),
        (["--until=1-2000"], "--until=1-2000: the range 1-2000 has more than 1000 numbers"),
        (["--heat=1,hot"], "--heat=hot: expected a number"),
        (["--fan=perhaps"], "--fan=perhaps: expected true or false"),
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


def test_a_word_is_a_value_beside_those_of_the_type() -> None:
    assert parse_flag("until", "auto,3", Step | None, ["auto"]) == ["auto", Step("3ep")]
    with pytest.raises(UsageError, match="--until=auto: 'auto' is not a step"):
        parse_flag("until", "auto,3", Step | None)


@pytest.mark.parametrize("flag", ["--jobs=1,2", "--dry_run=true,false", "--threads=1-2"])
def test_options_of_the_session_and_the_command_take_one_value(flag: str) -> None:
    with pytest.raises(UsageError, match=f"{flag}: expected "):
        read_command("train", [flag])


def test_a_directory_may_have_a_comma_in_its_name() -> None:
    line = read_command("train", ["--root=a,b"])
    assert line is not None
    assert line.session == {"root": "a,b"}


def test_a_command_line_is_parsed_once_into_typed_values() -> None:
    argv = ["--k=auto,5", "--lr=0.1", "--levels=0-1;2", "--threads=2", "--dry_run", "--lr=0.2"]
    line = read_command("lottery", argv)
    assert line is not None
    assert line.flags == {"k": ["auto", Step("5ep")], "lr": 0.2, "levels": [(0, 1), (2,)]}
    assert line.session == {"threads": 2}
    assert line.options.dry_run
    assert line.command == ["lottery", *argv]


# Help ----------------------------------------------------------------------------------------------------------------


def help_of(*argv: str, how: str = "--help=all") -> tuple[str, list[Section]]:
    """What ``--help`` prints, and the sections that it was made of."""
    seen: list[Section] = []

    def spy(command: str, summary: str, sections: Iterable[Section], shown: str = "all") -> Parser:
        seen[:] = sections or seen
        return make_parser(command, summary, sections, shown)

    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(cli.command_line, "make_parser", spy)
        assert cli.main([*argv, how]) == 0
    return printed.getvalue(), seen


COMMAND_LINES = [
    ["train"],
    ["lottery", "--k=auto"],
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
        group = text.partition(f"\n{textwrap.fill(section.title, 79)}:\n")[2].split("\n\n")[0]
        for item in section.items():
            assert text.count(f"\n  --{item.name} ") == 1
            assert f"\n  --{item.name} " in f"\n{group}"


@pytest.mark.parametrize("how", ["--help", "--help=all"])
@pytest.mark.parametrize("argv", COMMAND_LINES, ids=" ".join)
def test_the_help_fits_eighty_columns(argv: list[str], how: str) -> None:
    assert [line for line in help_of(*argv, how=how)[0].splitlines() if len(line) > 80] == []


def test_the_short_help_shows_common_flags_and_where_the_others_are() -> None:
    short, everything = help_of("lottery", how="--help")[0], help_of("lottery")[0]
    for flag in ("--model", "--pruning_strategy", "--density", "--synflow_input", "--dry_run"):
        assert f"\n  {flag} " in short
    assert "--gamma" not in short
    assert "--gamma" in everything
    listed = [sum(line.startswith("  --") for line in text.splitlines()) for text in (short, everything)]
    assert f"\n--help=all lists {listed[1] - listed[0]} more flags." in short
    assert "more flags" not in everything


def test_the_help_says_what_exit_codes_mean() -> None:
    assert "exit codes:" in help_of("train")[0]
    assert "exit codes:" in cli.overview()


def test_the_help_has_defaults_and_intervals_and_comes_once_for_several_runs() -> None:
    text, _ = help_of("lottery", "--replicate=1-3")
    assert text.count("usage:") == 1
    assert "Learning rate before any drop. [in (0, inf); default 0.01]" in " ".join(text.split())


def test_the_help_of_a_strategy_shows_its_own_flags_only() -> None:
    assert "--synflow_input {ones,image,mean,batch}" in help_of("lottery", "--pruning_strategy=synflow")[0]
    assert "--synflow_input" not in help_of("lottery", "--pruning_strategy=random")[0]


def test_percent_signs_in_a_help_text_survive() -> None:
    assert "Degrees, 100% of them." in make_parser("bake", "", [Section("oven", Oven)]).format_help()


def test_a_criterion_for_k_brings_the_flags_of_its_analyses() -> None:
    assert "--threshold X" in help_of("lottery", "--k=auto")[0]
    assert "--threshold X" not in help_of("lottery", "--k=5")[0]


@pytest.mark.parametrize(("text", "value"), [("10%", 0.1), ("2%", 0.02), ("3.57%", 0.0357), ("100%", 1.0)])
def test_a_share_may_be_written_in_percent(text: str, value: float) -> None:
    assert parse_value("density", text, float) == value
