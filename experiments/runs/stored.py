"""A run's directory with all that it says: also its descriptor and its tickets, for which PyTorch is needed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from experiments.define.lottery import Lottery
from experiments.options import SessionOptions
from experiments.runs.directory import Row, RunDirectory, directories, directories_from_environment, kinds
from experiments.workspace import Workspace
from foundations import files
from foundations.desc import Desc
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.run import read_desc
from foundations.store import Store
from lottery import LotteryDesc
from pruning import Mask
from stability import StabilityDesc
from training.hparams import TrainDesc
from training.imported import ImportDesc

DESCS: Mapping[str, type[Desc]] = {desc.kind: desc for desc in (TrainDesc, ImportDesc, LotteryDesc, StabilityDesc)}
"""What ``desc.json`` holds, by the kind of run."""


@dataclass(frozen=True, eq=False, repr=False)
class StoredRun(RunDirectory):
    """A run's directory, read."""

    def __repr__(self) -> str:
        try:
            state = self.state
        except UsageError:
            state = "damaged"
        return f"<StoredRun: {self.kind}, {state}, {self.path}>"

    @cached_property
    def desc(self) -> Desc:
        """The same as hyperparameters; ``UsageError`` that names what is missing if a plug-in is not loaded."""
        try:
            return read_desc(self.store, DESCS[self.kind])
        except UsageError as error:
            raise UsageError(f"{self.path / files.DESC}: {error}\nIs a --plugin missing?") from error

    @property
    def readable(self) -> bool:
        """Whether its descriptor is there, and the plug-ins that it names are loaded."""
        try:
            return isinstance(self.desc, Desc)
        except (UsageError, OSError):
            return False

    @property
    def result(self) -> Row:
        """What has come of it: the training's result, or one for each level, branch or k that is done, by its name."""
        results = {part.name: part.result() for part in self.parts if part.done}
        return results.get("", {}) if self.kind in ("train", "import") else results

    def rows(self) -> list[Row]:
        """The results, a plain dictionary for each part that is done, with what the run is."""
        about = {"kind": self.kind, "run": self.name, "replicate": self.replicate}
        return [{**about, "part": part.name, **part.result()} for part in self.parts if part.done]

    def ticket(self, level: int = 1, session: Workspace | None = None) -> tuple[nn.Module, Mask]:
        """A level's trained subnetwork, in evaluation mode, and its mask.

        Args:
            level: of a lottery run.
            session: where the data set is, whose images give the network its shape; by default as the directories
                say: the root that the run lies in, and the default data directory.

        Raises:
            UsageError: it is no lottery run, the level is not done, or a plug-in is not loaded.
        """
        if not isinstance(self.desc, LotteryDesc):
            raise UsageError(f"{self.path}: a {self.kind} run has no tickets; those of lottery have")
        session = session or Workspace(options_for(self.path.parent.parent), Reporter())
        return Lottery(session=session, replicate=self.replicate, desc=self.desc, levels=(level,)).ticket(level)


def options_for(root: Path) -> SessionOptions:
    """Where runs below ``root`` and the data sets lie."""
    default = SessionOptions.data_dir
    return SessionOptions(root=str(root), data_dir=directories_from_environment().get("data_dir", default))


def open(path: Path | str) -> StoredRun:
    """The run in a directory ``<root>/<kind>_<hash>/replicate_<n>``; ``UsageError`` if it is none."""
    path = Path(path)
    kind, number = path.parent.name.rpartition("_")[0], path.name.removeprefix(files.REPLICATE)
    if kind not in kinds or not number.isdecimal() or not (path / files.DESC).is_file():
        raise UsageError(f"{path}: no run; expected <root>/<kind>_<hash>/replicate_<n> with kind {', '.join(kinds)}")
    return StoredRun(path, kind, int(number))


def runs(root: Path | str) -> list[StoredRun]:
    """All runs below a root, by kind, hash and replicate; those that are damaged, too, even without a descriptor."""
    return [StoredRun(run.path, run.kind, run.replicate) for run in directories(root)]


def known_runs(stores: Iterable[Store]) -> list[StoredRun]:
    """The runs in some directories, each once, as far as they were begun."""
    paths = {store.path: store for store in stores}
    return [open(path) for path, store in paths.items() if store.has(files.DESC)]
