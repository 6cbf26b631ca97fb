# SPDX-License-Identifier: Apache-2.0
"""The report of a run: figures, tables and a page, made from the stored run and from nothing else.

The same run gives the same bytes, whenever and wherever the report is built with the same libraries.
"""

from lab.evaluation.trial import EvaluatedTrial, evaluate_run, evaluate_trial
from lab.report.build import build_report

__all__ = ["EvaluatedTrial", "build_report", "evaluate_run", "evaluate_trial"]
