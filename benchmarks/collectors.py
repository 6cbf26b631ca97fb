# SPDX-License-Identifier: Apache-2.0
"""Measure what each collector costs in a trial at 100 Mbit/s: ``python -m benchmarks.collectors``.

The trial has one CUBIC flow of 10 s and runs without any collector and with each of them.  All figures are in virtual
time, in which one nanosecond is one instruction of the guest.  They do not depend on how busy the machine is, and they
are the same in each run.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import trial_of
from lab.analysis.volume import arrived
from lab.engine.vm.engine import VmEngine
from lab.store.folders import scratch_folder

RESULTS = Path(__file__).parents[1] / "results" / "bench"
SECONDS = 10
RATE_MBIT = 100
WHAT = {
    "none": "{}",
    "tcp_probe": "{tcp_probe: {}}",
    "tcp_probe, on change": "{tcp_probe: {record: cwnd_change}}",
    "tcp_probe, transmit and both ends": "{tcp_probe: {ends: both, transmit: true}}",
    "flow": "{flow: {}}",
    "life": "{life: {}}",
    "states": "{states: {}}",
    "retrans": "{retrans: {}}",
    "resets": "{resets: {}}",
    "destroy": "{destroy: {}}",
    "packets": "{packets: {}}",
    "drops": "{drops: {}}",
    "drops, latency": "{drops: {latency: true}}",
    "drops, switched off": "{drops: {window: {from: 9900ms, to: 9950ms}}}",
    "queue": "{queue: {}}",
    "queue, every packet": "{queue: {every_packet: true}}",
    "tcp_probe + retrans + states + drops": "{tcp_probe: {}, retrans: {}, states: {}, drops: {}}",
}


def measure(engine: VmEngine, collect: str) -> dict[str, Any]:
    """Run the trial with the collectors *collect* (in YAML) and return its goodput, CPU use, rows and lost events."""
    trial = trial_of(RATE_MBIT, 1, SECONDS, f"collect={collect}")
    with scratch_folder("collectors", print) as scratch:
        directory = scratch / "record"
        directory.mkdir()
        asyncio.run(engine.run(trial.job, directory, 0, lambda _now: None))
        record = json.loads((directory / "record.json").read_text(encoding="utf-8"))
        if record["status"] != "ok":
            raise SystemExit(f"{collect}: {record['error']}")
    return {
        "goodput_bps": arrived(record["flows"][0], trial.job["flows"][0]).bps,
        "busy_ns": record["cpu"]["busy_ns"],
        "busy_share": record["cpu"]["busy_ns"] / record["cpu"]["total_ns"],
        "rows": sum(collector["rows"] for collector in record["collectors"].values()),
        "lost": sum(collector["lost"] for collector in record["collectors"].values()),
    }


def main() -> None:
    engine = VmEngine()
    engine.locate(print)
    asyncio.run(engine.prepare(print))
    found = {name: measure(engine, collect) for name, collect in WHAT.items()}
    none = found["none"]
    print(f"{'':34} {'goodput':>10} {'CPU busy':>9} {'rows':>8} {'lost':>5} {'ns per row':>11}")
    for name, measured in found.items():
        extra = measured["busy_ns"] - none["busy_ns"]
        measured["goodput_change"] = measured["goodput_bps"] / none["goodput_bps"] - 1
        measured["ns_per_row"] = round(extra / measured["rows"]) if measured["rows"] > 100 else None
        print(
            f"{name:34} {measured['goodput_change']:+10.4%} {measured['busy_share']:9.2%} {measured['rows']:8} "
            f"{measured['lost']:5} {measured['ns_per_row'] or '':>11}"
        )
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"collectors-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({**engine.about(), "collectors": found}, indent=1) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
