# SPDX-License-Identifier: Apache-2.0
"""What iperf3 prints at one end, and what is said if it printed something else or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.agent.traffic.iperf3_output import read_output
from lab.agent.traffic.transfer import TransferError

WHO = "flow bulk: the iperf3 server"


@pytest.mark.parametrize("status", [0, 1])
def test_a_document_is_returned_with_the_error_that_it_may_contain(status: int, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text('{"error": "the client has terminated"}\n')
    assert read_output(WHO, status, tmp_path / "out.json") == {"error": "the client has terminated"}


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("", -9, f"{WHO} printed nothing (exit status -9)"),
        ("Killed\n", 137, f"{WHO} printed no JSON but: Killed (exit status 137)"),
        ('{"start": {', -11, f'{WHO} printed no JSON but: {{"start": {{ (exit status -11)'),
        ("[]", 0, f"{WHO} printed no JSON object but: [] (exit status 0)"),
        ('{"end": {}}', 1, f"{WHO} failed with exit status 1 and printed no error"),
    ],
)
def test_what_went_wrong_is_said(text: str, status: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text(text)
    with pytest.raises(TransferError) as caught:
        read_output(WHO, status, tmp_path / "out.json")
    assert str(caught.value) == message
