# SPDX-License-Identifier: Apache-2.0
"""Checks of the emulated network: was it built as asked, and did it behave so?"""

from __future__ import annotations

import math

from lab.analysis import iperf
from lab.analysis.checks import qdisc
from lab.analysis.checks.check import Check, Finding, Verdict, combine, graded
from lab.analysis.checks.qdisc import Side
from lab.analysis.measured import MeasuredFlow, MeasuredTrial
from lab.analysis.path import IP_HEADER_BYTES, UDP_HEADER_BYTES
from lab.job.kernels import netem_takes_seeds
from lab.job.network import Hop, at_end, mean_burst, mean_loss, mean_rate_bps
from lab.job.protocol import ETHERNET_HEADER_BYTES, Loss, Netem, NodeSettings, Queue


def network_checks(trial: MeasuredTrial) -> list[Check]:
    """Return the checks of interfaces, qdiscs and paths."""
    sides = qdisc.sides(trial.job, trial.record["interfaces"])
    return [
        offloads(trial, sides),
        mtu(trial, sides),
        bottleneck_queue(trial, sides),
        propagation(trial, sides),
        netem_limit(trial, sides),
        netem_drops(sides),
        sender_netem(trial, sides),
        sender_qdisc(trial, sides),
        base_rtt(trial),
        calibrated_rate(trial),
        achieved_rate(trial),
    ]


def offloads(trial: MeasuredTrial, sides: list[Side]) -> Check:
    """Pitfall 2."""
    asked = "off"
    findings = []
    for side in (side for side in sides if side.result["role"] == "egress"):
        on = sorted(name.upper() for name, enabled in side.result["offloads"].items() if enabled)
        if _offloads_asked(trial, side.result["node"]):
            findings.append(Finding("ok", "as the kernel sets them", f"on: {', '.join(on) or 'none'}"))
        elif not side.result["offloads"]:
            findings.append(Finding("warn", asked, f"not read back on {side.label}"))
        else:
            findings.append(
                Finding("invalid" if on else "ok", asked, f"{', '.join(on)} on: {side.label}" if on else "off")
            )
    return combine(
        "offloads",
        "Segmentation offloads",
        findings,
        threshold="invalid: any of TSO, GSO, GRO on though asked to be off",
        meaning="With offloads on, a “packet” in a queue is up to 64 kB: limits and loss mean something else.",
    )


def _offloads_asked(trial: MeasuredTrial, node: str) -> bool:
    settings = _settings(trial, node)
    own = settings["offloads"] if settings else None
    return trial.job["offloads"] if own is None else own


def _settings(trial: MeasuredTrial, node: str) -> NodeSettings | None:
    return next((item.get("settings") for item in trial.job["nodes"] if item["name"] == node), None)


def mtu(trial: MeasuredTrial, sides: list[Side]) -> Check:
    """Part of pitfall 13."""
    asked = trial.job["mtu"]
    findings = [
        Finding(
            "ok" if side.result["mtu"] == asked else "invalid", f"{asked} B", f"{side.result['mtu']} B at {side.label}"
        )
        if side.result["mtu"] != asked
        else Finding("ok", f"{asked} B", f"{asked} B")
        for side in sides
        if side.result["role"] == "egress"
    ]
    return combine(
        "mtu",
        "MTU",
        findings,
        threshold="invalid: any difference",
        meaning="The MTU sets the segment size, in which congestion windows and packet limits are counted.",
    )


def bottleneck_queue(trial: MeasuredTrial, sides: list[Side]) -> Check:
    """Pitfalls 4 and 5."""
    findings = []
    for side in (side for side in sides if side.result["role"] == "egress"):
        last = at_end(side.direction)
        rate, queue = last["rate_bps"], last["queue"]
        if side.direction["capacity"] is not None:
            fq = qdisc.find(side.result["qdiscs_after"], "fq")
            findings.append(
                Finding("ok" if fq else "invalid", "fq that follows the capacity file", "fq" if fq else "no fq")
            )
        elif rate is not None and queue is not None:
            findings.append(_rate_and_queue(side, rate, queue, trial.job["mtu"] + ETHERNET_HEADER_BYTES))
        elif qdisc.find(side.result["qdiscs_after"], "tbf"):
            findings.append(Finding("invalid", "no rate limit", f"tbf on {side.label}"))
    return combine(
        "rate-and-queue",
        "Rate limit and queue as built",
        findings,
        threshold="invalid: other qdisc or limit, rate off by 0.1 %, or a burst of more than a packet and 2 ms; "
        "warn: of more than a packet and 0.2 ms",
        meaning="Rate and queue define the bottleneck; a large burst lets a flow exceed the rate for a while.",
    )


def _rate_and_queue(side: Side, rate_bps: int, queue: Queue, frame: int) -> Finding:
    limit = queue["limit_packets"] if queue["limit_bytes"] is None else queue["limit_bytes"]
    unit = "packets" if queue["limit_bytes"] is None else "B"
    asked = f"tbf {rate_bps} bit/s over {queue['discipline']}" + (f" limit {limit} {unit}" if limit is not None else "")
    shaper = qdisc.find(side.result["qdiscs_after"], "tbf")
    child = qdisc.find(side.result["qdiscs_after"], queue["discipline"])
    if shaper is None or child is None:
        kinds = ", ".join(str(item.get("kind")) for item in side.result["qdiscs_after"]) or "nothing"
        return Finding("invalid", asked, f"{kinds} on {side.label}")
    found_rate = int(qdisc.options(shaper).get("rate", 0)) * 8
    name = qdisc.LIMIT_IN.get(queue["discipline"], "limit")
    found_limit, burst = qdisc.options(child).get(name), int(qdisc.options(shaper).get("burst", 0))
    found = f"tbf {found_rate} bit/s, burst {burst} B, over {queue['discipline']} limit {found_limit} on {side.label}"
    if abs(found_rate - rate_bps) > max(8, 0.001 * rate_bps) or (limit is not None and found_limit != limit):
        return Finding("invalid", asked, found)
    bytes_per_ms = rate_bps / 8000
    return Finding(graded(burst, frame + 0.2 * bytes_per_ms, frame + 2 * bytes_per_ms), asked, found)


def propagation(trial: MeasuredTrial, sides: list[Side]) -> Check:
    """Pitfall 13: what tc understood, seeds included."""
    findings = []
    for side in (side for side in sides if side.result["role"] == "ingress"):
        netem = at_end(side.direction)["netem"]
        found = qdisc.find(side.result["qdiscs_after"], "netem")
        if netem is None:
            if found:
                findings.append(Finding("invalid", "no netem", f"netem on {side.label}"))
            continue
        findings.append(_netem_as_asked(side, netem, found, _seeding(trial)))
    recorded = {(side.link["name"], side.result["node"]) for side in sides if side.result["role"] == "ingress"}
    for link in trial.job["links"]:
        for receiver, direction in ((link["b"], link["ab"]), (link["a"], link["ba"])):
            if direction["netem"] and (link["name"], receiver) not in recorded:
                findings.append(
                    Finding("invalid", f"netem where {link['name']} arrives at {receiver}", "none recorded")
                )
    return combine(
        "delay-and-loss",
        "Delay and loss as built",
        findings,
        threshold="invalid: a time off by more than 1 µs, a probability by more than 0.1 %, another limit or seed; "
        "warn: a kernel in real time whose netem has no seeds",
        meaning="netem makes delay and random loss; if tc understood something else, this is another network.",
    )


def _seeding(trial: MeasuredTrial) -> Verdict | None:
    """Return the verdict on a netem without its seed: None where it must have it.

    Older kernels have no seeds: in a virtual machine the kernel's own generator is the trial's instead.
    """
    if netem_takes_seeds(trial.record["kernel"]):
        return None
    return "ok" if trial.record["engine"] == "vm" else "warn"


def _netem_as_asked(side: Side, netem: Netem, found: dict[str, object] | None, without_seed: Verdict | None) -> Finding:
    asked = qdisc.netem_asked(netem)
    if found is None:
        return Finding("invalid", _netem_text(asked, netem["limit_packets"]), f"no netem on {side.label}")
    values, options = qdisc.netem_values(found), qdisc.options(found)
    limit, seed = options.get("limit"), options.get("seed")
    text = f"{_netem_text(values, limit)} on {side.label}"
    wrong = values.keys() != asked.keys() or limit != netem["limit_packets"]
    for name in asked.keys() & values.keys():
        # tc shows times rounded to ns as seconds, and probabilities as they fit into 32 bits.
        allowed = 1000 if name in ("delay", "jitter") else 0.001 * asked[name] + 1e-9
        wrong = wrong or abs(values[name] - asked[name]) > allowed
    wanted = _netem_text(asked, netem["limit_packets"])
    if wrong or not qdisc.is_random(netem) or seed == netem["seed"]:
        return Finding("invalid" if wrong else "ok", wanted, text)
    verdict: Verdict = without_seed if without_seed and seed is None else "invalid"
    return Finding(verdict, f"{wanted}, seed {netem['seed']}", f"{text}, seed {seed}")


def _netem_text(values: dict[str, float], limit: object) -> str:
    parts = [
        f"{name} {value / 1e6:g} ms" if name in ("delay", "jitter") else f"{name} {value:.6g}"
        for name, value in values.items()
    ]
    return ", ".join([*(parts or ["nothing"]), f"limit {limit}"])


def netem_limit(trial: MeasuredTrial, sides: list[Side]) -> Check:
    """Pitfall 3, from the declaration: the delay line must hold what can be in flight."""
    rates = [flow.path.rate_bps for flow in trial.flows if flow.path.rate_bps]
    fastest = max(rates, default=0)
    findings = []
    for side in (side for side in sides if side.result["role"] == "ingress"):
        netem = side.direction["netem"]
        if netem is None:
            continue
        inflight = math.ceil(fastest * netem["delay_ns"] / 8e9 / (trial.job["mtu"] + ETHERNET_HEADER_BYTES))
        backlog = max(int(item.get("qlen", 0)) for item in [{}, *side.result["qdiscs_after"]])
        verdict: Verdict = "invalid" if max(inflight, backlog) >= netem["limit_packets"] else "ok"
        findings.append(
            Finding(verdict, f"more than {inflight} packets", f"limit {netem['limit_packets']} packets on {side.label}")
        )
    return combine(
        "netem-limit",
        "Delay line is long enough",
        findings,
        threshold="invalid: the limit is no more than rate × delay, in full packets",
        meaning="A delay line that is too short drops packets unseen, or becomes the queue itself.",
    )


def netem_drops(sides: list[Side]) -> Check:
    """Pitfalls 3 and 13, from the counters: netem dropped what was declared, no more and no less."""
    findings = []
    for side in (side for side in sides if side.result["role"] == "ingress" and side.direction["netem"]):
        netem = side.direction["netem"]
        if netem is None or qdisc.find(side.result["qdiscs_after"], "netem") is None:
            continue
        drops = qdisc.counted(side, "netem", "drops")
        packets = drops + qdisc.counted(side, "netem", "packets")
        findings.append(_drops_finding(side, netem, drops, packets))
    return combine(
        "netem-drops",
        "Random loss as declared",
        findings,
        threshold="invalid: any drop where no loss was declared; elsewhere outside of 5 standard deviations",
        meaning="Other drops come from a delay line that overflows, and would be taken for congestion.",
    )


def _drops_finding(side: Side, netem: Netem, drops: int, packets: int) -> Finding:
    losses = [netem["loss"], *(change["netem"]["loss"] for change in side.direction["changes"] if change["netem"])]
    found = f"{drops} dropped on {side.label}" if drops else "no drops"
    if not any(losses):
        return Finding("ok" if not drops else "invalid", "no drops", found)
    loss = losses[0]
    if loss is None or any(other != loss for other in losses):
        return Finding("ok", "loss that changes with time", found)
    if loss["model"] == "random" and len(loss["values"]) > 1:
        return Finding("warn", "correlated loss, of which the kernel loses less than declared", found)
    if netem["duplicate"]:
        # Copies are counted among the packets that left, but never offered.
        packets = round(packets / (1 + netem["duplicate"]))
    share = mean_loss(netem)
    # Five standard deviations: one false alarm in a million.
    band = 5 * math.sqrt(packets * share * (1 - share) * _clumping(loss)) + 1
    verdict: Verdict = "ok" if abs(drops - packets * share) <= band else "invalid"
    return Finding(verdict, f"{packets * share:.0f} ± {band:.0f} of {packets}", found)


def _clumping(loss: Loss) -> float:
    """By how much bursts widen the spread of a count beyond the binomial's."""
    if loss["model"] == "random":
        return 1.0
    if loss["model"] == "gemodel":
        # Draws k apart are correlated as (1 - p - r)^k, where the states decide.
        memory = 1 - loss["values"][0] - loss["values"][1]
        return max(1.0, (1 + memory) / (1 - memory))
    return max(1.0, 2 * mean_burst(loss))


def sender_netem(trial: MeasuredTrial, sides: list[Side]) -> Check:
    """Pitfall 1."""
    hosts = {node["name"] for node in trial.job["nodes"] if node["role"] == "host"}
    findings = []
    for side in (side for side in sides if side.result["role"] == "egress" and side.result["node"] in hosts):
        netem = any(item.get("kind") == "netem" for item in side.result["qdiscs_before"] + side.result["qdiscs_after"])
        findings.append(Finding("invalid" if netem else "ok", "none", f"netem on {side.label}" if netem else "none"))
    return combine(
        "sender-netem",
        "No netem on a sending host",
        findings,
        threshold="invalid: netem on an interface through which a host sends",
        meaning="TCP small queues and pacing react to a qdisc on their own host, so netem there changes the sender.",
    )


def sender_qdisc(trial: MeasuredTrial, sides: list[Side]) -> Check:
    """Pitfall 7: the sender's own qdisc is part of the experiment."""
    sources = {flow.asked["source"] for flow in trial.flows}
    senders = [side for side in sides if side.result["role"] == "egress" and side.result["node"] in sources]
    kinds = {side.label: qdisc.root_kind(side.result["qdiscs_after"]) for side in senders}
    findings = []
    for side in senders:
        declared = _settings(trial, side.result["node"])
        if declared and declared["queue"] and side.direction["rate_bps"] is None:
            asked = declared["queue"]["discipline"]
            found = kinds[side.label] or "nothing"
            verdict: Verdict = "ok" if found == asked else "invalid"
            findings.append(Finding(verdict, f"{asked}, as declared", found if verdict == "ok" else side.label))
            continue
        kind = kinds[side.label] or ("noqueue" if not side.result["qdiscs_after"] else None)
        if kind == "tbf":
            findings.append(Finding("warn", "no queue of its own", f"the bottleneck is on {side.label}"))
        elif kind == "fq":
            findings.append(Finding("warn", "no queue of its own", f"fq on {side.label}: it paces every algorithm"))
        else:
            same = len(set(kinds.values()) - {"tbf", "fq"}) <= 1
            findings.append(Finding("ok" if same else "warn", "the same for all senders", f"{kind or 'unknown'}"))
    return combine(
        "sender-qdisc",
        "Qdisc of the senders",
        findings,
        threshold="invalid: another than declared; of those not declared, warn: fq, a rate limit on the sending host "
        "itself, or different qdiscs",
        meaning="fq paces CUBIC too, and TCP small queues feel a queue on their host; compare under equal qdiscs only.",
    )


def base_rtt(trial: MeasuredTrial) -> Check:
    """Pitfall 14: the path without traffic has the declared round-trip time."""
    findings = []
    for flow in trial.flows:
        declared = flow.path.rtt_ns / 1e6
        asked = f"{declared:g} ms"
        if flow.calibration is None or not flow.calibration["rtt_ns"]:
            findings.append(Finding("warn", asked, f"{flow.name}: not measured"))
            continue
        measured = min(flow.calibration["rtt_ns"]) / 1e6
        off = abs(measured - declared)
        lost = flow.calibration["sent"] - len(flow.calibration["rtt_ns"])
        verdict: Verdict = (
            "ok" if off <= 0.01 * declared + 0.2 + _ping_milliseconds(flow) + _variation_ms(flow) else "invalid"
        )
        found = f"{measured:.3f} ms"
        if lost and not flow.path.round_trip_loss:
            verdict, found = "invalid", f"{found}, {lost} of {flow.calibration['sent']} echoes lost"
        findings.append(Finding(verdict, asked, f"{flow.name}: {found}" if verdict != "ok" else found))
    return combine(
        "base-rtt",
        "Round-trip time before the traffic",
        findings,
        threshold="invalid: off by more than 1 % + 0.2 ms + the echo's own sending time; warn: not measured",
        meaning="If the empty path is not as declared, every delay and every bandwidth-delay product is off.",
    )


def _variation_ms(flow: MeasuredFlow) -> float:
    """Return by how much the smallest of a few round-trip times may be off where packets are not delayed alike."""
    netems = [hop.direction["netem"] for hop in flow.path.forward + flow.path.backward if hop.direction["netem"]]
    jitter = sum(4 * netem["jitter"]["spread_ns"] for netem in netems if netem["jitter"])
    # Those that overtake are not delayed at all.
    return (jitter + sum(netem["delay_ns"] for netem in netems if netem["reorder"])) / 1e6


def _ping_milliseconds(flow: MeasuredFlow) -> float:
    """Return the time to send an echo request of 98 bytes, and its answer, at the declared rates."""
    hops = flow.path.forward + flow.path.backward
    return sum(98 * 8e3 / hop.direction["rate_bps"] for hop in hops if hop.direction["rate_bps"])


def calibrated_rate(trial: MeasuredTrial) -> Check:
    """Pitfalls 5 and 14: the bottleneck, kept busy, runs at the declared rate."""
    findings = []
    for flow in trial.flows:
        rate = flow.path.rate_bps
        if flow.path.bottleneck and flow.path.bottleneck.direction["capacity"]:
            continue  # it has no rate of its own
        measured = flow.calibration["rate_bps"] if flow.calibration else None
        if rate is None or measured is None:
            continue
        off = abs(measured / rate - 1)
        findings.append(
            Finding(
                graded(off, 0.01, 0.05),
                f"{rate / 1e6:g} Mbit/s",
                f"{measured / 1e6:.3f} Mbit/s ({flow.asked['source']} to {flow.asked['destination']})",
            )
        )
    return combine(
        "calibrated-rate",
        "Bottleneck rate before the traffic",
        findings,
        threshold="warn: off by more than 1 %; invalid: 5 %",
        meaning="If a busy bottleneck does not carry its declared rate, shares of the link mean nothing.",
    )


def achieved_rate(trial: MeasuredTrial) -> Check:
    """Pitfall 5: nothing went faster than its link."""
    per_hop: dict[tuple[str, str], tuple[Hop, list[MeasuredFlow]]] = {}
    for flow in trial.flows:
        for hop in flow.path.forward:
            if hop.direction["rate_bps"]:
                per_hop.setdefault((hop.link, hop.way), (hop, []))[1].append(flow)
    findings = [_hop_load(trial, hop, flows) for hop, flows in per_hop.values()]
    return combine(
        "achieved-rate",
        "Nothing faster than its link",
        findings,
        threshold="invalid: more than 1 % above the link's rate",
        meaning="More than the link can carry means that the rate limit or a clock was wrong.",
    )


def _hop_load(trial: MeasuredTrial, hop: Hop, flows: list[MeasuredFlow]) -> Finding:
    """Compare the least rate the hop must have carried with its limit."""
    transfers = [flow.received for flow in flows]
    starts = [flow.asked["start_ns"] / 1e9 for flow in flows]
    ends = [start + transfer.seconds for start, transfer in zip(starts, transfers, strict=True)]
    span = max(ends) - min(starts)
    framing = [_framing(trial, flow) for flow in flows]
    whole = sum(transfer.bytes * more for transfer, more in zip(transfers, framing, strict=True))
    together = whole * 8 / span if span > 0 else 0.0
    one_by_one = [transfer.bps * more for transfer, more in zip(transfers, framing, strict=True)]
    single = [] if hop.direction["changes"] else one_by_one
    # A rate that changes is judged by its mean over all the time.
    rate = mean_rate_bps(hop.direction, round(min(starts) * 1e9), round(max(ends) * 1e9)) or 0
    wire = max([together, *single])
    if hop.direction["capacity"]:
        # Only over whole periods is it the mean.
        return Finding("ok", "as the capacity file allows", f"{wire / 1e6:.2f} Mbit/s with headers over {hop.link}")
    verdict: Verdict = "invalid" if wire > 1.01 * rate else "ok"
    return Finding(verdict, f"at most {rate / 1e6:g} Mbit/s", f"{wire / 1e6:.2f} Mbit/s with headers over {hop.link}")


def _framing(trial: MeasuredTrial, flow: MeasuredFlow) -> float:
    """Return how many bytes of frames a byte of payload takes at least."""
    if flow.asked["protocol"] == "udp":
        payload = iperf.block_bytes(flow.client)
        return 1 + (UDP_HEADER_BYTES + IP_HEADER_BYTES[trial.job["ip"]] + ETHERNET_HEADER_BYTES) / payload
    return (trial.job["mtu"] + ETHERNET_HEADER_BYTES) / trial.mss
