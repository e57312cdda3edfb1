"""Stands in for ``main.py``: does stub tasks by the protocol of ``experiments.run.worker``."""

import json
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2])]

from foundations.processes import end_with_parent  # noqa: E402
from tests.experiments.stub_work import Refused, perform  # noqa: E402


def send(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def serve() -> None:
    end_with_parent()
    for line in sys.stdin:
        task = json.loads(line)["task"]
        try:
            perform(Path(task["folder"]), task["node"], lambda text: send(warning=text))
        except Refused as error:
            send(ended="failed", reason=str(error), refused=True, details="")
        except Exception as error:
            send(ended="failed", reason=f"{type(error).__name__}: {error}", refused=False, details="Traceback\n")
        else:
            send(ended="done")


if __name__ == "__main__":
    serve()
