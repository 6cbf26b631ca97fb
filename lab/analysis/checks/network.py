# SPDX-License-Identifier: Apache-2.0
"""Checks of the emulated network: whether its interfaces and qdiscs are what the experiment asks for."""

from __future__ import annotations

import math

from lab.analysis.checks import qdisc
from lab.analysis.checks.check import Check, Finding, Verdict, combine, graded
from lab.analysis.checks.qdisc import Side
from lab.analysis.measured import MeasuredTrial
from lab.job.kernels import netem_takes_seeds
from lab.job.network import at_end, mean_burst, mean_loss
from lab.job.over_time import delay_ns, netem_over_time
from lab.job.protocol import ETHERNET_HEADER_BYTES, Loss, Netem, NodeSettings, Queue

BRIEF_SHARE = 0.01
"""The share of a flow's duration up to which it does not matter that a link is the flow's bottleneck."""


def network_checks(trial: MeasuredTrial) -> list[Check]:
    """Return the checks of the interfaces and the qdiscs."""
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
    ]


def offloads(trial: MeasuredTrial, sides: list[Side]) -> Check:
    """Check that the segmentation offloads (TSO, GSO, GRO) are off unless the experiment leaves them on.

    With offloads, queues hold packets of several segments.  See pitfall 2 in docs/explanation/pitfalls.md.
    """
    asked = "off"
    findings = []
    for side in (side for side in sides if side.result["role"] == "egress"):
        on = sorted(name.upper() for name, enabled in side.result["offloads"].items() if enabled)
        if _offloads_asked(trial, side.result["node"]):
            findings.append(Finding("ok", "the kernel's defaults", f"on: {', '.join(on) or 'none'}"))
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
        threshold="invalid: TSO, GSO or GRO is on although it should be off; warn: the settings were not read back",
        meaning="With offloads on, a “packet” in a queue can be up to 64 kB, so queue limits and loss probabilities "
        "mean something else.",
    )


def _offloads_asked(trial: MeasuredTrial, node: str) -> bool:
    settings = _settings(trial, node)
    own = settings["offloads"] if settings else None
    return trial.job["offloads"] if own is None else own


def _settings(trial: MeasuredTrial, node: str) -> NodeSettings | None:
    return next((item.get("settings") for item in trial.job["nodes"] if item["name"] == node), None)


def mtu(trial: MeasuredTrial, sides: list[Side]) -> Check:
    """Check that each interface has the MTU that the experiment asks for.

    See pitfall 13 in docs/explanation/pitfalls.md.
    """
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
        threshold="invalid: another MTU than the experiment asks for",
        meaning="The MTU determines the segment size, and congestion windows and packet limits count segments.",
    )


def bottleneck_queue(trial: MeasuredTrial, sides: list[Side]) -> Check:
    """Check that rate limit, queueing discipline, queue limit and burst are what the experiment asks for.

    Delay, rate and AQM in one qdisc tree disturb each other, and a large burst lets a flow exceed the rate.  See
    pitfalls 4 and 5 in docs/explanation/pitfalls.md.
    """
    findings = []
    for side in (side for side in sides if side.result["role"] == "egress"):
        last = at_end(side.direction)
        rate, queue = last["rate_bps"], last["queue"]
        if side.direction["capacity"] is not None:
            fq = qdisc.find(side.result["qdiscs_after"], "fq")
            asked, found = "an fq qdisc that follows the capacity file", "fq" if fq else "no fq qdisc"
            findings.append(Finding("ok" if fq else "invalid", asked, found))
        elif rate is not None and queue is not None:
            findings.append(_rate_and_queue(side, rate, queue, trial.job["mtu"] + ETHERNET_HEADER_BYTES))
        elif qdisc.find(side.result["qdiscs_after"], "tbf"):
            findings.append(Finding("invalid", "no rate limit", f"tbf on {side.label}"))
    return combine(
        "rate-and-queue",
        "Rate limit and queue as built",
        findings,
        threshold="invalid: another qdisc or limit, a rate that is off by more than 0.1 %, or a burst larger than one "
        "packet plus 2 ms at the rate; warn: a burst larger than one packet plus 0.2 ms at the rate",
        meaning="Rate and queue define the bottleneck. A large burst lets a flow exceed the rate for a while.",
    )


def _rate_and_queue(side: Side, rate_bps: int, queue: Queue, frame: int) -> Finding:
    limit = queue["limit_packets"] if queue["limit_bytes"] is None else queue["limit_bytes"]
    unit = "packets" if queue["limit_bytes"] is None else "B"
    asked = f"tbf {rate_bps} bit/s over {queue['discipline']}" + (f" limit {limit} {unit}" if limit is not None else "")
    shaper = qdisc.find(side.result["qdiscs_after"], "tbf")
    child = qdisc.find(side.result["qdiscs_after"], queue["discipline"])
    if shaper is None or child is None:
        kinds = ", ".join(str(item.get("kind")) for item in side.result["qdiscs_after"]) or "no qdisc"
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
    """Check that netem's delay, jitter, loss, limit and seed are what the experiment asks for, as tc shows them.

    Versions of tc have misread options without an error.  See pitfall 13 in docs/explanation/pitfalls.md.
    """
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
                    Finding("invalid", f"netem at {receiver} for packets from {link['name']}", "none recorded")
                )
    return combine(
        "delay-and-loss",
        "Delay and loss as built",
        findings,
        threshold="invalid: a delay or jitter that is off by more than 1 µs, a probability that is off by more than "
        "0.1 % of its value, or another limit or seed; warn: a trial in real time on a kernel whose netem has no seeds",
        meaning="netem adds the delay and the random loss. If tc understood something else, the trial ran on another "
        "network than the experiment declares.",
    )


def _seeding(trial: MeasuredTrial) -> Verdict | None:
    """Return the verdict on a netem that has no seed; None if the kernel supports seeds, so that it must have one.

    Older kernels do not support seeds.  In a virtual machine, the kernel's own random generator is seeded by the trial
    instead, so a missing seed does no harm there.
    """
    if netem_takes_seeds(trial.record["kernel"]):
        return None
    return "warn" if trial.record["engine"] == "native" else "ok"


def _netem_as_asked(side: Side, netem: Netem, found: dict[str, object] | None, without_seed: Verdict | None) -> Finding:
    asked = qdisc.netem_asked(netem)
    if found is None:
        return Finding("invalid", _netem_text(asked, netem["limit_packets"]), f"no netem on {side.label}")
    values, options = qdisc.netem_values(found), qdisc.options(found)
    limit, seed = options.get("limit"), options.get("seed")
    text = f"{_netem_text(values, limit)} on {side.label}"
    wrong = values.keys() != asked.keys() or limit != netem["limit_packets"]
    for name in asked.keys() & values.keys():
        # tc prints times in seconds, rounded to nanoseconds, and the kernel keeps probabilities in 32 bits.
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
    """Check that netem's limit exceeds what can be in flight at the highest rate and the longest delay.

    Otherwise netem drops packets that nobody asked it to drop.  See pitfall 3 in docs/explanation/pitfalls.md.
    """
    rates = [flow.path.rate_bps for flow in trial.flows if flow.path.rate_bps is not None]
    fastest = max((rate for steps in rates for _at, rate in steps.changes), default=0)
    findings = []
    for side in (side for side in sides if side.result["role"] == "ingress"):
        netem = side.direction["netem"]
        if netem is None:
            continue
        longest = max(delay_ns(then) for _at, then in netem_over_time(side.direction).changes)
        inflight = math.ceil(fastest * longest / 8e9 / (trial.job["mtu"] + ETHERNET_HEADER_BYTES))
        backlog = max(int(item.get("qlen", 0)) for item in [{}, *side.result["qdiscs_after"]])
        verdict: Verdict = "invalid" if max(inflight, backlog) >= netem["limit_packets"] else "ok"
        findings.append(
            Finding(verdict, f"more than {inflight} packets", f"limit {netem['limit_packets']} packets on {side.label}")
        )
    return combine(
        "netem-limit",
        "netem's limit is large enough",
        findings,
        threshold="invalid: the limit does not exceed rate × delay in full-sized packets, or the packets that netem "
        "held after the traffic",
        meaning="If netem's limit is too small, it drops packets although no loss was declared, or acts as the "
        "bottleneck's queue.",
    )


def netem_drops(sides: list[Side]) -> Check:
    """Check that netem's counters show about as many drops as the declared loss predicts.

    Too many drops show that netem's limit was too small, or that tc misread the loss; too few, that tc misread it.  See
    pitfalls 3 and 13 in docs/explanation/pitfalls.md.
    """
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
        threshold="invalid: any drop on a link without declared loss; on a link with loss, a number of drops that is "
        "more than 5 standard deviations from the expected one; warn: correlated loss",
        meaning="Other drops come from a netem that is full, and would be mistaken for congestion.",
    )


def _drops_finding(side: Side, netem: Netem, drops: int, packets: int) -> Finding:
    losses = [netem["loss"], *(change["netem"]["loss"] for change in side.direction["changes"] if change["netem"])]
    found = f"{drops} drops on {side.label}" if drops else "no drops"
    if not any(losses):
        return Finding("ok" if not drops else "invalid", "no drops", found)
    loss = losses[0]
    if loss is None or any(other != loss for other in losses):
        return Finding("ok", "loss that changes over time (not compared)", found)
    if loss["model"] == "random" and len(loss["values"]) > 1:
        return Finding("warn", "correlated loss, with which the kernel drops less than declared", found)
    if netem["duplicate"]:
        # The counter of packets that left includes copies, which were never exposed to loss.
        packets = round(packets / (1 + netem["duplicate"]))
    share = mean_loss(netem)
    # With five standard deviations, one check in a million raises a false alarm.
    band = 5 * math.sqrt(packets * share * (1 - share) * _clumping(loss)) + 1
    verdict: Verdict = "ok" if abs(drops - packets * share) <= band else "invalid"
    return Finding(verdict, f"{packets * share:.0f} ± {band:.0f} drops of {packets} packets", found)


def _clumping(loss: Loss) -> float:
    """Return the factor by which bursts of losses increase the variance of their number, relative to a binomial."""
    if loss["model"] == "random":
        return 1.0
    if loss["model"] == "gemodel":
        # The states of two packets that are k packets apart have the correlation (1 - p - r)^k.
        memory = 1 - loss["values"][0] - loss["values"][1]
        return max(1.0, (1 + memory) / (1 - memory))
    return max(1.0, 2 * mean_burst(loss))


def sender_netem(trial: MeasuredTrial, sides: list[Side]) -> Check:
    """Check that no host sends through netem.

    TCP small queues and pacing would react to netem's queue.  See pitfall 1 in docs/explanation/pitfalls.md.
    """
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
        meaning="TCP small queues and pacing react to a qdisc on their own host, so netem there changes how the host "
        "sends.",
    )


def sender_qdisc(trial: MeasuredTrial, sides: list[Side]) -> Check:
    """Check that each sending host has the declared qdisc.

    Without a declared qdisc, all sending hosts should have the same one, and none should have fq, which paces, or a
    rate limit of its own.  Pacing depends on the sender's qdisc.  See pitfall 7 in docs/explanation/pitfalls.md.
    """
    sources = {flow.asked["source"] for flow in trial.flows}
    bottlenecks = [
        hop.direction
        for flow in trial.flows
        for hop, held_ns in flow.path.bottlenecks(flow.start_ns, flow.end_ns)
        if held_ns > BRIEF_SHARE * flow.asked["duration_ns"]
    ]
    senders = [side for side in sides if side.result["role"] == "egress" and side.result["node"] in sources]
    kinds = {side.label: qdisc.root_kind(side.result["qdiscs_after"]) for side in senders}
    findings = []
    for side in senders:
        declared = _settings(trial, side.result["node"])
        if declared and declared["queue"] and side.direction["rate_bps"] is None:
            asked = declared["queue"]["discipline"]
            found = kinds[side.label] or "no qdisc"
            verdict: Verdict = "ok" if found == asked else "invalid"
            where = "" if verdict == "ok" else f" on {side.label}"
            findings.append(Finding(verdict, f"{asked}, as declared", found + where))
            continue
        kind = kinds[side.label] or ("noqueue" if not side.result["qdiscs_after"] else None)
        if kind == "tbf":
            # A limit that is hardly ever a flow's bottleneck hardly ever has a queue.
            limits = any(side.direction is bottleneck for bottleneck in bottlenecks)
            verdict = "warn" if limits else "ok"
            findings.append(Finding(verdict, "no bottleneck on the sending host", f"a rate limit on {side.label}"))
        elif kind == "fq":
            found = f"fq on {side.label}, which paces every algorithm"
            findings.append(Finding("warn", "no pacing qdisc on the sending host", found))
        else:
            same = len(set(kinds.values()) - {"tbf", "fq"}) <= 1
            findings.append(Finding("ok" if same else "warn", "the same qdisc on all senders", f"{kind or 'unknown'}"))
    return combine(
        "sender-qdisc",
        "Qdisc of the sending hosts",
        findings,
        threshold="invalid: another qdisc than the experiment declares; warn, if it declares none: fq, a rate limit on "
        "the sending host itself, or different qdiscs",
        meaning="fq paces CUBIC too, and TCP small queues react to a queue on their own host. Compare algorithms only "
        "under the same qdisc.",
    )
