"""``--config=FILE``: values of flags from a TOML file, or from the desc.json of somebody's run."""

import tomllib
from collections.abc import Collection
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from experiments.define.defaults import NONE
from experiments.define.experiment import experiments
from experiments.runs.stored import DESCS
from experiments.workspace import train_of
from foundations.desc import Desc
from foundations.errors import UsageError, near_misses
from foundations.formats import decode_json, parse
from foundations.given import read_given, read_given_text
from foundations.hparams import as_text
from foundations.methods import Method
from stability import StabilityDesc
from training.imported import ImportDesc

Texts = dict[str, Any]
"""What a command line would say: the text of each flag; of a repeatable one, a list of texts."""


def read_toml(file: str, command: str, repeatable: Collection[str]) -> Texts:
    """Return the flags of a TOML file: its top-level entries, overridden by those of the command's own table.

    A list is several values, as on the command line; a list of lists several of a flag that is a list itself::

        dataset = "digits"
        pruning_strategy = ["synflow", "adsynflow"]
        [lottery]
        k = "4ep"

    Raises:
        UsageError: the file cannot be read, is no TOML, or holds something else.
    """
    try:
        entries = tomllib.loads(read_given_text(Path(file), f"--config={file}"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--config={file}: {error}") from error
    except RecursionError as error:
        raise UsageError(f"--config={file}: nested too deeply") from error
    tables = {name: value for name, value in entries.items() if isinstance(value, dict)}
    for name in tables.keys() - set(experiments):
        raise UsageError(
            f"--config={file}: [{name}]: no command{near_misses(name, experiments)}; a table is named by a command "
            f"({', '.join(experiments)}), and flags of all commands stand above the tables"
        )
    own = {**{name: value for name, value in entries.items() if name not in tables}, **tables.get(command, {})}
    return {
        name: (texts_of if name in repeatable else text_of)(file, name, value)
        for name, value in own.items()
    }  # fmt: skip


def texts_of(file: str, name: str, value: Any) -> list[str]:
    return [text_of(file, name, element) for element in (value if isinstance(value, list) else [value])]


def text_of(file: str, name: str, value: Any, inside: int = 0) -> str:
    """Return a value, a list or a list of lists as one would write it on the command line."""
    if isinstance(value, list) and inside < 2:
        mark = ";" if any(isinstance(element, list) for element in value) else ","
        return mark.join(text_of(file, name, element, inside + 1) for element in value)
    if not isinstance(value, (str, bool, int, float)):
        raise UsageError(f"--config={file}: {name}: expected a text, a number, true or false, or a list of them")
    return as_text(value)


def read_desc(file: str, command: str) -> Texts:
    """Return the flags that give a run the key of ``desc.json``.

    ``train`` takes what the run's trunk depends on. The plug-ins that it names must be loaded.

    Raises:
        UsageError: the file cannot be read, or is no descriptor of a run.
    """
    try:
        content = read_given(Path(file), f"--config={file}")
        entries = parse(content)
        if not isinstance(entries, dict):
            raise ValueError(f"a list of {len(entries)}" if isinstance(entries, list) else repr(entries))
        if "format" in entries:  # written by a run; one that somebody has written lacks it
            entries = decode_json(Path(file), content)
    except ValueError as error:
        raise UsageError(f"--config={file}: no JSON object ({error})") from error
    except RecursionError as error:
        raise UsageError(f"--config={file}: nested too deeply") from error
    kind = entries.pop("kind", None)
    if not isinstance(kind, str) or kind not in DESCS:
        raise UsageError(f"--config={file}: no run's desc.json; expected a \"kind\", one of {', '.join(DESCS)}")
    try:
        desc: Desc = DESCS[kind].from_dict(entries)
    except UsageError as error:
        raise UsageError(f"--config={file}: {error}") from error
    if isinstance(desc, ImportDesc):
        raise UsageError(f"--config={file}: an imported network; use it with --imported={desc.key}")
    if getattr(desc, "checkpoint", ""):
        raise UsageError(f"--config={file}: that run began from a --checkpoint, whose file desc.json does not hold")
    return flags_of(train_of(desc) if command == "train" else desc)


def flags_of(hparams: Any) -> Texts:
    """Return the fields of a descriptor and of what it holds, as flags."""
    found: Texts = {}
    for item in fields(hparams):
        value = getattr(hparams, item.name)
        if is_dataclass(value):
            found |= {"pruning_strategy": value.name} if isinstance(value, Method) else {}
            found |= flags_of(value)
        elif value is not None and value != "":
            found[item.name] = as_text(value)
    if isinstance(hparams, StabilityDesc) and hparams.strategy is None:
        found["pruning_strategy"] = NONE
    return found
