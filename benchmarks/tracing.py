# SPDX-License-Identifier: Apache-2.0
"""Compare live tracing with ``lab trace tcp_probe``, with bpftrace and with a perf-buffer tool on the same traffic.

Run as root: ``python -m benchmarks.tracing``.  iperf3 sends over loopback as fast as the machine can, while each tool
prints every ``tcp:tcp_probe`` event of its port into a file.  The tools take turns for several rounds, so that other
activity on the machine affects all of them alike.  The number of events is the sum of those that a tool prints and
those that it reports as lost.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.job.bpf_sources import BPF_SOURCES

RESULTS = Path(__file__).parents[1] / "results" / "bench"
PORT = 5999
WARM_UP_S = 4.0
DRAIN_S = 2.0

BPFTRACE = f"""
tracepoint:tcp:tcp_probe /args->sport == {PORT} || args->dport == {PORT}/ {{
	printf("%llu %d %d %d %x %x %d %d %d %d %d\\n", nsecs, args->sport, args->dport, args->data_len, args->snd_nxt,
		args->snd_una, args->snd_cwnd, args->ssthresh, args->snd_wnd, args->srtt, args->rcv_wnd);
}}
"""


def tools() -> dict[str, list[str]]:
    """Return name → command line of the tools that are installed."""
    lab = str(Path(sys.executable).with_name("lab"))
    perf_buffer = str(Path(__file__).with_name("perf_buffer_tcp_probe.py"))
    found = {
        "none": [],
        "lab trace tcp_probe": [lab, "trace", "tcp_probe", "--port", str(PORT)],
        "lab trace tcp_probe --format tcpprobe": [
            lab,
            "trace",
            "tcp_probe",
            "--port",
            str(PORT),
            "--format",
            "tcpprobe",
        ],
        "bcc, perf buffer": ["/usr/bin/python3", perf_buffer, str(PORT), str(BPF_SOURCES / "kernel")],
    }
    if shutil.which("bpftrace"):
        found["bpftrace"] = ["bpftrace", "-e", BPFTRACE]
    return found


@contextmanager
def tracing(command: list[str], output: Path, errors: Path) -> Iterator[None]:
    """Run a tool for the duration of the block; an empty *command* runs none."""
    if not command:
        yield
        return
    with open(output, "wb") as out, open(errors, "wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err)
        time.sleep(WARM_UP_S)
        yield
        time.sleep(DRAIN_S)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def goodput_bps(seconds: int) -> float:
    """Return the goodput of iperf3 over loopback."""
    server = subprocess.Popen(["iperf3", "-s", "-1", "-p", str(PORT)], stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    command = ["iperf3", "-c", "127.0.0.1", "-p", str(PORT), "-t", str(seconds), "--json"]
    done = subprocess.run(command, capture_output=True, check=True)
    server.wait()
    return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"])


def events_in(output: Path) -> int:
    """Return the number of lines that contain the port.

    These are the lines that hold an event; the headings of the tools do not contain the port.
    """
    with open(output, encoding="utf-8", errors="replace") as file:
        return sum(1 for line in file if str(PORT) in line)


def lost_in(output: Path, errors: Path) -> int:
    """Return the number of lost events, which each tool reports as "N lost" or, in bpftrace, "Lost N events"."""
    text = errors.read_text(errors="replace") + "\n".join(
        line for line in output.read_text(errors="replace").splitlines() if "Lost" in line
    )
    return sum(int(lab or bpftrace) for lab, bpftrace in re.findall(r"(\d+) lost|Lost (\d+) events", text))


def measure(command: list[str], seconds: int) -> dict[str, Any]:
    """Run a tool during *seconds* of traffic and return goodput, printed events and lost events."""
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        output.touch()
        errors.touch()
        with tracing(command, output, errors):
            goodput = goodput_bps(seconds)
        return {"goodput_bps": goodput, "events": events_in(output), "lost": lost_in(output, errors)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=int, default=5, help="duration of each measurement (default: 5)")
    arguments.add_argument("--rounds", type=int, default=3, help="number of measurements of each tool (default: 3)")
    chosen = arguments.parse_args()
    if os.geteuid() != 0:
        print("live tracing was not measured: it requires root")
        return
    if shutil.which("bpftrace") is None:
        print("bpftrace was not measured: the package bpftrace is not installed")
    chosen_tools = tools()
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen_tools}
    for _round in range(chosen.rounds):
        for name, command in chosen_tools.items():
            rounds[name].append(measure(command, chosen.seconds))
    print(f"{'':34} {'goodput':>12} {'events/s':>10} {'lost':>8}   (median of {chosen.rounds} × {chosen.seconds} s)")
    for name, measured in rounds.items():
        totals = [result["events"] + result["lost"] for result in measured]
        lost = [result["lost"] / total if total else 0.0 for result, total in zip(measured, totals, strict=True)]
        goodput = statistics.median(result["goodput_bps"] for result in measured)
        rate = statistics.median(totals) / chosen.seconds
        print(f"{name:34} {goodput / 1e9:7.2f} Gb/s {rate:10.0f} {statistics.median(lost):8.2%}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"tracing-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"seconds": chosen.seconds, "rounds": rounds}, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
