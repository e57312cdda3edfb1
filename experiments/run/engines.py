"""What runs a plan: one process, or several. A plug-in can bring another.

    @engines.register("my_cluster")
    def run(plan: Plan, session: Workspace) -> list[Failure]: ...
"""

from experiments.run import in_process, local, ray, slurm  # noqa: F401  they register themselves
from experiments.run.engine import Engine, Failed, Failure, engines, run_plan
from experiments.run.engine_options import check_engine

__all__ = ["Engine", "Failed", "Failure", "check_engine", "engines", "run_plan"]
