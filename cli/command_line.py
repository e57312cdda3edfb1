"""From a command line to typed values. No other package reads or builds command lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from cli.config import read_desc, read_toml
from cli.flags import ALL, COMMON, add_flag, make_parser, parse_flag, parse_value
from cli.reading import OF_COMMAND, CommandOptions
from experiments.define.defaults import all_flags, refuse_unknown
from experiments.define.experiment import experiments
from experiments.define.grid import Choice, Grid, combinations
from experiments.options import SessionOptions
from experiments.plugins import load_plugins
from experiments.run.progress import make_reporter
from experiments.runs.directory import directories_from_environment
from experiments.session import Session
from foundations.errors import UsageError, near_misses
from foundations.hparams import Section

OF_SESSION = {item.name for item in fields(SessionOptions)}
REPEATABLE = {item.name for item in fields(SessionOptions) if item.metadata.get("repeatable")}


@dataclass(frozen=True)
class CommandLine:
    """A command line as typed values.

    Args:
        command: with the branch, if it has one; then the flags as they were given.
        options: what is to be done.
        session: options of the session, as typed values.
        flags: flags of the experiments, as typed values or lists of them.
    """

    command: Sequence[str]
    options: CommandOptions
    session: Mapping[str, Any]
    flags: Mapping[str, Any]

    def make_session(self) -> Session:
        return Session(**self.session, command=self.command)

    def grid(self, branch: str | None = None) -> Grid:
        return Grid.of(self.make_session(), self.command[0], self.flags, branch)


def read_command(command: str, argv: Sequence[str], branch: str | None = None) -> CommandLine | None:
    """Import the plug-ins and return the command line as typed values; if it asks for help, print that and return None.

    Raises:
        UsageError: a flag that does not exist, or a value that does not fit its type.
    """
    plugins, config = known_first(argv)
    from_file = read_toml(config, command, REPEATABLE) if config and not config.endswith(".json") else {}
    load_plugins(plugins or from_file.get("plugin", ()), make_reporter(quiet=False), OF_COMMAND)
    known = all_flags(CommandOptions)
    texts, unknown = split(argv, known)
    if config and config.endswith(".json"):
        from_file = read_desc(config, command)
    for name in from_file.keys() - known.keys():
        raise UsageError(f"--config={config}: {name}: unknown flag{near_misses(name, known)}")
    texts = {**from_file, **texts}
    shown = texts.pop("help", None)
    if shown not in (None, COMMON, ALL):
        raise UsageError(f"--help={shown}: expected --help or --help={ALL}")
    values = {name: typed(name, given, *known[name]) for name, given in texts.items()}
    own = {name: value for name, value in values.items() if name not in OF_SESSION | OF_COMMAND}
    if shown or unknown:
        sections = sections_for(command, own, branch)
        for token in unknown:
            refuse(token, sections)
        name = f"{command} {branch}" if branch else command
        print(make_parser(name, experiments.get(command).summary, sections, shown or ALL).format_help())
        return None
    options = CommandOptions(**{name: values[name] for name in values if name in OF_COMMAND})
    session = {name: values[name] for name in values if name in OF_SESSION}
    return CommandLine([command, *([branch] if branch else []), *argv], options, session, own)


def known_first(argv: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """Return ``--plugin`` and ``--config``, which decide which other flags there are."""
    parser = make_parser("", "", [])
    add_flag(parser, "plugin", str, repeatable=True)
    add_flag(parser, "config", str, repeatable=False)
    given = vars(parser.parse_known_args(list(argv))[0])
    config = parse_value("config", given["config"], str) if "config" in given else None
    return tuple(given.get("plugin", ())), config


def split(argv: Sequence[str], known: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the text of each known flag (the last one wins), and the arguments that are not known."""
    parser = make_parser("", "", [])
    for name, (item, hint) in known.items():
        add_flag(parser, name, hint, repeatable=bool(item.metadata.get("repeatable")))
    given, unknown = parser.parse_known_args(list(argv))
    return dict(vars(given)), unknown


def typed(name: str, given: Any, item: Any, hint: Any) -> Any:
    """Return the value of a flag, or a list of values; flags of the session and of the command take one value only."""
    if isinstance(given, list):
        return tuple(given)
    if name in OF_SESSION | OF_COMMAND:
        return parse_value(name, given, hint)
    values = parse_flag(name, given, hint, item.metadata.get("words", ()))
    return values[0] if len(values) == 1 else values


def sections_for(command: str, flags: Mapping[str, Any], branch: str | None) -> list[Section]:
    """Return the flags that apply to the first of the experiments."""
    chosen = Choice(experiments.get(command), combinations(flags)[0], branch)
    return [
        *chosen.sections,
        Section("session", SessionOptions, directories_from_environment()),
        Section("command", CommandOptions),
    ]


def refuse(token: str, sections: Sequence[Section]) -> None:
    if not token.startswith("--"):
        raise UsageError(f"{token}: not a flag; flags are written --flag=value")
    refuse_unknown(token.removeprefix("--").partition("=")[0], [i.name for one in sections for i in one.items()], {})
