"""What runs a plan: one process, or several. A plug-in can bring another.

    @engines.register("my_cluster")
    def run(plan: Plan, session: Workspace) -> list[Failure]: ...
"""

from experiments.engines import in_process, local, ray, slurm  # noqa: F401  they register themselves
from experiments.engines.options import check_engine
from experiments.engines.registry import Engine, Failed, Failure, engines, run_plan

__all__ = ["Engine", "Failed", "Failure", "check_engine", "engines", "run_plan"]
