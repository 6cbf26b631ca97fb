# SPDX-License-Identifier: Apache-2.0
"""The report of a run: figures, tables and an HTML page, built only from the stored run.

With the same libraries, the report of the same run always has the same bytes.
"""

from lab.evaluation.trial import EvaluatedTrial, evaluate_run, evaluate_trial
from lab.report.build import build_report

__all__ = ["EvaluatedTrial", "build_report", "evaluate_run", "evaluate_trial"]
