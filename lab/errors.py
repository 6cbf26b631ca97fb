# SPDX-License-Identifier: Apache-2.0
"""The errors that users see, and the exit code of each.

::

    LabError
    ├── InputError             what the user wrote is wrong                              2
    │   ├── SpecError          … in an experiment file, with file, line and column       2
    │   └── UnknownNameError   a run has nothing of this name                            2
    ├── MachineryError         this machine lacks something, or one of our tools failed  3
    │   ├── ImageError         the guest image cannot be built or found                  3
    │   ├── EngineError        the engine cannot start                                   3
    │   └── StoreError         results cannot be written or read                         3
    ├── TrialsFailedError      a run from Python has ended, and trials of it failed      3
    └── TrialError             one trial failed; the others continue                     3
        ├── GuestError         the agent reported a failure                              3
        │   └── AlgorithmRefusedError  the kernel refused a congestion control of the user  2
        ├── LostVMError        the virtual machine died                                  3
        └── TrialTimeoutError  a limit of wall-clock or virtual time was exceeded        3
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

EXIT_OK = 0
EXIT_EXPECTATION_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_FAILED = 3
EXIT_INTERRUPTED = 130


class LabError(Exception):
    """The base class of all errors that are shown to the user as one message, without a traceback."""

    exit_code = EXIT_FAILED


class InputError(LabError):
    """The command line, an experiment file or a run folder that the user named cannot be used."""

    exit_code = EXIT_BAD_INPUT


class SpecError(InputError):
    """An experiment file has one or more problems; the message lists each with file, line and column."""


class UnknownNameError(InputError):
    """A run has no trial, collector, column, flow or figure of the name that was asked for."""


class MachineryError(LabError):
    """This machine lacks something, or one of our own tools failed."""


class ImageError(MachineryError):
    """The guest image or its template cannot be built, found or read."""


class EngineError(MachineryError):
    """The engine cannot be started."""


class StoreError(MachineryError):
    """Results cannot be written or read back."""


class TrialsFailedError(LabError):
    """Trials of a run that was started from Python failed; the other trials are stored.

    ``run`` is the loaded run (:class:`lab.Run`).
    """

    def __init__(self, message: str, run: Any) -> None:
        super().__init__(message)
        self.run = run


class TrialError(LabError):
    """One trial failed.

    ``log`` is the path of the guest's console output or of the agent's log, if there is one.
    """

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message if log is None else f"{message} (log: {log})")
        self.reason = message
        self.log = log


class GuestError(TrialError):
    """The agent ran and reported a failure."""


class AlgorithmRefusedError(GuestError):
    """The kernel refused a congestion control that the user has written."""

    exit_code = EXIT_BAD_INPUT


class LostVMError(TrialError):
    """The virtual machine ended, or its kernel panicked, before the trial was finished."""


class TrialTimeoutError(TrialError):
    """The trial exceeded its limit of wall-clock or virtual time."""
