# SPDX-License-Identifier: Apache-2.0
"""Every error that a user may meet, and the exit code that goes with it.

::

    LabError
    ├── InputError          what the user wrote is wrong                           2
    │   └── SpecError       … in an experiment file, with file, line and column    2
    ├── MachineryError      this machine or our own tools fell short               3
    │   ├── ImageError      the guest image cannot be built or found               3
    │   ├── EngineError     the engine cannot start                                3
    │   └── StoreError      results cannot be written or read                      3
    └── TrialError          one trial went wrong; the others go on                 3
        ├── GuestError      the agent reported a failure                           3
        ├── LostVMError     the virtual machine died                               3
        └── TrialTimeoutError a wall-clock or virtual-time limit passed              3
"""

from __future__ import annotations

from pathlib import Path

EXIT_OK = 0
EXIT_EXPECTATION_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_FAILED = 3
EXIT_INTERRUPTED = 130


class LabError(Exception):
    """Base of all errors that are shown to the user as one message, without a traceback."""

    exit_code = EXIT_FAILED


class InputError(LabError):
    """The command line, an experiment file or a run folder that was named is not usable."""

    exit_code = EXIT_BAD_INPUT


class SpecError(InputError):
    """One or more problems in an experiment file; the message names each with its place."""


class MachineryError(LabError):
    """This machine lacks something, or one of our own tools failed."""


class ImageError(MachineryError):
    """The guest image or its template cannot be built, found or read."""


class EngineError(MachineryError):
    """The engine cannot be started."""


class StoreError(MachineryError):
    """Results cannot be written or read back."""


class TrialError(LabError):
    """One trial failed.

    ``log`` is the guest's console or the agent's log, where there is one.
    """

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message if log is None else f"{message} (log: {log})")
        self.reason = message
        self.log = log


class GuestError(TrialError):
    """The agent ran and reported a failure."""


class LostVMError(TrialError):
    """The virtual machine ended, or its kernel panicked, before the trial did."""


class TrialTimeoutError(TrialError):
    """The trial passed its limit of wall-clock or virtual time."""
