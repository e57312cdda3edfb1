"""Reports of branches, by the name that plug-ins of earlier versions import."""

from experiments.report.stability import branch_reports as branch_reports
