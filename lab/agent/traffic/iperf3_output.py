# SPDX-License-Identifier: Apache-2.0
"""Read what one end of an iperf3 test has printed, and say what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab.agent.traffic.transfer import TransferError


def read_output(who: str, status: int, output: Path) -> dict[str, Any]:
    """Return the JSON document in the file *output*; it may contain an error.

    *who* names the process in messages, and *status* is its exit status.

    Raises:
        TransferError: The process printed something else, or failed without saying why.
    """
    text = output.read_text(errors="replace").strip()
    try:
        report = json.loads(text)
    except ValueError:
        said = f"printed no JSON but: {text[:500]}" if text else "printed nothing"
        raise TransferError(f"{who} {said} (exit status {status})") from None
    if not isinstance(report, dict):
        raise TransferError(f"{who} printed no JSON object but: {text[:500]} (exit status {status})")
    if status != 0 and "error" not in report:
        raise TransferError(f"{who} failed with exit status {status} and printed no error")
    return report
