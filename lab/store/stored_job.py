# SPDX-License-Identifier: Apache-2.0
"""Check a job that was read from the folder of a run, as strictly as the experiment from which it once was made.

The folder of a run may come from somebody else.  Words of a job end up in paths and in command lines, some of them as
root with the native engine: ``/sys/module/tcp_ALGORITHM/parameters/NAME``, ``/proc/sys/SYSCTL``, the lines of
``tc -batch``.  Numbers end up in loops and in the sizes of arrays.  So a job is used only after this check.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from lab import names
from lab.errors import StoreError
from lab.job import kernels
from lab.job.network import NoRouteError, route
from lab.job.protocol import (
    PROTOCOL_FORMAT,
    Algorithm,
    Arrivals,
    Capacity,
    Direction,
    Flow,
    Job,
    Loss,
    Netem,
    Probe,
    Queue,
)
from lab.store.shape import Place, check_shape, shown

__all__ = ["check_job"]

MAX_TIME_NS = 48 * 3600 * 10**9
"""The longest time in a job: two days, because start jitter may shift what lasts a day by another day."""
MAX_RATE_BPS = 10**12
MAX_BYTES = 2**50
MAX_FLOWS = 250
MAX_SHORT_FLOWS = 100_000
MAX_NODES, MAX_LINKS = 1000, 1000
MAX_CHANGES = 4000
MAX_OBJECT_BYTES = 1 << 20
"""The largest object of a congestion control."""
MAX_PERIOD_MS = 3_600_001
"""The longest period of a capacity file, an hour."""

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
_COLLECTOR = r"^[a-z_]{1,20}$"
_SHA256 = r"^[0-9a-f]{64}$"
_LOSS_VALUES = {"random": (1, 2), "gemodel": (4, 4), "state": (5, 5)}
"""Model of loss → the least and the largest number of its values."""


class _WrongError(Exception):
    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


def check_job(job: Any, what: str, place: Place = ()) -> Job:
    """Return *job* if an engine can run it and a report can show it.

    Raises:
        StoreError: It cannot be used; the message names *what* is damaged, the place in it, what was found and what was
            expected.
    """
    if isinstance(job, dict) and job.get("format") != PROTOCOL_FORMAT:
        found = shown(job.get("format"))
        raise StoreError(f"{what} has a job of format {found}; this version of lab reads format {PROTOCOL_FORMAT}")
    check_shape(job, Job, what, place)
    checked: Job = job
    try:
        _check(checked)
    except _WrongError as error:
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in (*place, *error.place))
        raise StoreError(f"{what} is damaged: {text.lstrip('.')}: {error}") from None
    return checked


def _check(job: Job) -> None:
    _kernel(job["kernel"])
    _between(("seed",), job["seed"], 0, 2**64 - 1)
    _between(("duration_ns",), job["duration_ns"], 1, MAX_TIME_NS)
    _between(("mtu",), job["mtu"], 576, 65_535)
    _between(("socket_buffer_bytes",), job["socket_buffer_bytes"], 1, 2**31 - 1)
    _between(("bin_ns",), job["bin_ns"], 10**6, 10**8)
    _between(("calibration", "ping_count"), job["calibration"]["ping_count"], 0, 1000)
    for algorithm, parameters in job["congestion_control_parameters"].items():
        here: Place = ("congestion_control_parameters", algorithm)
        _word(here, algorithm, names.CONGESTION_CONTROL, "the name of an algorithm")
        for name, value in parameters.items():
            _word((*here, name), name, names.MODULE_PARAMETER, "the name of a module's parameter")
            _word((*here, name), value, names.SETTING, "a value of letters, digits and spaces")
    hosts = _nodes(job)
    _links(job)
    _flows(job, hosts)
    _probes(job, hosts)
    for name, options in job["collectors"].items():
        _collector(("collectors", name), name, options)
    for number, own in enumerate(job.get("algorithms", ())):
        _algorithm(("algorithms", number), own)
    _distinct("algorithms", [own["name"] for own in job.get("algorithms", ())])


def _kernel(kernel: str) -> None:
    name, version = names.kernel_and_version(kernel)
    if name in kernels.DEBIAN and (name == kernel or re.fullmatch(names.KERNEL_VERSION, version)):
        return
    if kernel in kernels.UML:
        return
    is_package = kernels.is_package(kernel) and re.fullmatch(_SHA256, kernel.partition("-")[2])
    _expect(bool(is_package), ("kernel",), kernel, "the name of a kernel")


def _nodes(job: Job) -> set[str]:
    """Check the nodes and return the names of the hosts."""
    _count(("nodes",), job["nodes"], MAX_NODES)
    _distinct("nodes", [node["name"] for node in job["nodes"]])
    for number, node in enumerate(job["nodes"]):
        here: Place = ("nodes", number)
        _word((*here, "name"), node["name"], names.NODE, "the name of a node")
        settings = node.get("settings")
        if settings is None:
            continue
        here = (*here, "settings")
        for name, value in settings["sysctls"].items():
            _word((*here, "sysctls", name), name, names.SYSCTL, "a sysctl of the network")
            _word((*here, "sysctls", name), value, names.SETTING, "a value of letters, digits and spaces")
        if settings["initial_window"] is not None:
            _between((*here, "initial_window"), settings["initial_window"], 1, 1000)
        if settings["queue"] is not None:
            _queue((*here, "queue"), settings["queue"])
    return {node["name"] for node in job["nodes"] if node["role"] == "host"}


def _links(job: Job) -> None:
    _count(("links",), job["links"], MAX_LINKS)
    _distinct("links", [link["name"] for link in job["links"]])
    known = {node["name"] for node in job["nodes"]}
    for number, link in enumerate(job["links"]):
        here: Place = ("links", number)
        _word((*here, "name"), link["name"], _NAME, "the name of a link")
        _expect(link["a"] in known, (*here, "a"), link["a"], "the name of a node")
        _expect(link["b"] in known and link["b"] != link["a"], (*here, "b"), link["b"], "the name of another node")
        _direction((*here, "ab"), link["ab"])
        _direction((*here, "ba"), link["ba"])


def _direction(here: Place, direction: Direction) -> None:
    _rate(here, direction["rate_bps"], direction["queue"])
    if direction["netem"] is not None:
        _netem((*here, "netem"), direction["netem"])
    if direction["capacity"] is not None:
        _expect(direction["rate_bps"] is not None, (*here, "rate_bps"), None, "the mean rate of the capacity file")
        _capacity((*here, "capacity"), direction["capacity"])
    _ascending((*here, "lost_packets"), direction["lost_packets"], 1, 2**32 - 1)
    _expect(len(direction["changes"]) <= MAX_CHANGES, (*here, "changes"), [0], f"at most {MAX_CHANGES}")
    _ascending((*here, "changes"), [change["at_ns"] for change in direction["changes"]], 0, MAX_TIME_NS)
    for number, change in enumerate(direction["changes"]):
        place = (*here, "changes", number)
        _expect(change["rate_bps"] is None or direction["rate_bps"] is not None, place, change, "no rate, as before")
        _expect(change["netem"] is None or direction["netem"] is not None, place, change, "no netem, as before")
        _rate(place, change["rate_bps"], change["queue"])
        if change["netem"] is not None:
            _netem((*place, "netem"), change["netem"])


def _rate(here: Place, rate_bps: int | None, queue: Queue | None) -> None:
    _expect((rate_bps is None) == (queue is None), (*here, "queue"), queue, "a queue with a rate, or neither of them")
    if rate_bps is not None and queue is not None:
        _between((*here, "rate_bps"), rate_bps, 8, MAX_RATE_BPS)
        _queue((*here, "queue"), queue)


def _queue(here: Place, queue: Queue) -> None:
    known = get_args(names.Discipline)
    _expect(queue["discipline"] in known, (*here, "discipline"), queue["discipline"], ", ".join(known))
    for name, limit in (("limit_bytes", queue["limit_bytes"]), ("limit_packets", queue["limit_packets"])):
        if limit is not None:
            _between((*here, name), limit, 1, MAX_BYTES)
    for name, value in queue["parameters"].items():
        _word((*here, "parameters", name), name, names.TC_NAME, "a parameter of tc")
        if isinstance(value, str):
            _word((*here, "parameters", name), value, names.TC_WORD, "a single word")
        else:
            _between((*here, "parameters", name), value, 0, 2**64 - 1)


def _netem(here: Place, netem: Netem) -> None:
    _between((*here, "delay_ns"), netem["delay_ns"], 0, MAX_TIME_NS)
    _between((*here, "limit_packets"), netem["limit_packets"], 0, 2**32 - 1)
    _between((*here, "seed"), netem["seed"], 0, 2**64 - 1)
    _between((*here, "duplicate"), netem["duplicate"], 0, 1)
    _between((*here, "corrupt"), netem["corrupt"], 0, 1)
    jitter, reorder = netem["jitter"], netem["reorder"]
    if jitter is not None:
        _between((*here, "jitter", "spread_ns"), jitter["spread_ns"], 1, MAX_TIME_NS)
        _between((*here, "jitter", "correlation"), jitter["correlation"], 0, 1)
    if reorder is not None:
        _between((*here, "reorder", "probability"), reorder["probability"], 0, 1)
        _between((*here, "reorder", "correlation"), reorder["correlation"], 0, 1)
        _between((*here, "reorder", "gap"), reorder["gap"], 0, 2**31)
    if netem["loss"] is not None:
        _loss((*here, "loss"), netem["loss"])


def _loss(here: Place, loss: Loss) -> None:
    least, most = _LOSS_VALUES[loss["model"]]
    found = len(loss["values"])
    expected = f"{least} values" if least == most else f"{least} or {most} values"
    _expect(least <= found <= most, (*here, "values"), loss["values"], f"{expected} with the model {loss['model']}")
    for number, value in enumerate(loss["values"]):
        _between((*here, "values", number), value, 0, 1)
    if loss["model"] == "gemodel":
        _expect(loss["values"][1] > 0, (*here, "values", 1), loss["values"][1], "more than 0")
    if loss["model"] == "state":
        p13, p31, p32, _p23, p14 = loss["values"]
        _expect(p13 + p14 <= 1 and p31 + p32 <= 1, (*here, "values"), loss["values"], "sums of at most 1")


def _capacity(here: Place, capacity: Capacity) -> None:
    _between((*here, "period_ms"), capacity["period_ms"], 1, MAX_PERIOD_MS)
    _between((*here, "packet_bytes"), capacity["packet_bytes"], 1, 2**17)
    try:
        unpacking = zlib.decompressobj()
        counts = unpacking.decompress(base64.b64decode(capacity["counts"], validate=True), MAX_PERIOD_MS + 1)
    except (ValueError, zlib.error):
        counts = b""
    is_whole = 0 < len(counts) <= MAX_PERIOD_MS and any(counts) and unpacking.eof
    _expect(is_whole, (*here, "counts"), capacity["counts"], "the numbers of opportunities, compressed, in base64")


def _flows(job: Job, hosts: set[str]) -> None:
    _count(("flows",), job["flows"], MAX_FLOWS)
    _distinct("flows", [flow["name"] for flow in job["flows"]])
    _distinct("flows", [flow["port"] for flow in job["flows"]], "port")
    for number, flow in enumerate(job["flows"]):
        here: Place = ("flows", number)
        _word((*here, "group"), flow["group"], names.FLOW, "the name of a flow")
        _word((*here, "congestion_control"), flow["congestion_control"], names.CONGESTION_CONTROL, "an algorithm")
        _between((*here, "port"), flow["port"], 1, 65_535)
        _between((*here, "duration_ns"), flow["duration_ns"], 1, MAX_TIME_NS)
        for name, value, most in (
            ("limit_bytes", flow["limit_bytes"], MAX_BYTES),
            ("rate_bps", flow["rate_bps"], MAX_RATE_BPS),
            ("message_bytes", flow["message_bytes"], 2**31 - 1),
            ("mss_bytes", flow["mss_bytes"], 65_535),
            ("pacing_bps", flow["pacing_bps"], MAX_RATE_BPS),
        ):
            if value is not None:
                _between((*here, name), value, 1, most)
        if flow["arrivals"] is not None:
            _arrivals((*here, "arrivals"), flow["arrivals"])
        _user(job, here, flow, hosts)


def _arrivals(here: Place, arrivals: Arrivals) -> None:
    _expect(len(arrivals["at_ns"]) == len(arrivals["bytes"]), here, arrivals, "as many sizes as times")
    _expect(len(arrivals["at_ns"]) <= MAX_SHORT_FLOWS, here, arrivals, f"at most {MAX_SHORT_FLOWS} short flows")
    _ascending((*here, "at_ns"), arrivals["at_ns"], 0, MAX_TIME_NS)
    for number, size in enumerate(arrivals["bytes"]):
        _between((*here, "bytes", number), size, 1, MAX_BYTES)


def _probes(job: Job, hosts: set[str]) -> None:
    _distinct("probes", [probe["name"] for probe in job["probes"]])
    for number, probe in enumerate(job["probes"]):
        here: Place = ("probes", number)
        _between((*here, "port"), probe["port"], 0, 65_535)
        _between((*here, "interval_ns"), probe["interval_ns"], 10**6, MAX_TIME_NS)
        _between((*here, "duration_ns"), probe["duration_ns"], 1, MAX_TIME_NS)
        for name, size in (("request_bytes", probe["request_bytes"]), ("response_bytes", probe["response_bytes"])):
            _between((*here, name), size, 1, 2**20)
        _user(job, here, probe, hosts)


def _user(job: Job, here: Place, user: Flow | Probe, hosts: set[str]) -> None:
    """Check what flows and probes have in common."""
    _word((*here, "name"), user["name"], _NAME, "the name of a flow or probe")
    _between((*here, "start_ns"), user["start_ns"], 0, MAX_TIME_NS)
    for bound, at_ns in (("start_ns", user["measured"]["start_ns"]), ("end_ns", user["measured"]["end_ns"])):
        _between((*here, "measured", bound), at_ns, 0, 2 * MAX_TIME_NS)
    _expect(user["source"] in hosts, (*here, "source"), user["source"], "the name of a host")
    is_other = user["destination"] in hosts and user["destination"] != user["source"]
    _expect(is_other, (*here, "destination"), user["destination"], "the name of another host")
    try:
        route(job, user["source"], user["destination"])
        route(job, user["destination"], user["source"])
    except NoRouteError as error:
        raise _WrongError(here, str(error)) from None


def _collector(here: Place, name: str, options: dict[str, Any]) -> None:
    _word(here, name, _COLLECTOR, "the name of a collector")
    for option, value in _plain_options(options):
        place = (*here, option)
        _word(place, option, names.TC_NAME, "the name of an option")
        if isinstance(value, str):
            _word(place, value, names.HOST_OR_ADDRESS, "a word, or the name or address of a host")
        else:
            _expect(isinstance(value, int), place, value, "a whole number, a word, or true or false")
            _between(place, value, 0, 2**63 - 1)


def _plain_options(options: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for option, value in options.items():
        if option == "window" and isinstance(value, dict) and {"from"} <= value.keys() <= {"from", "to"}:
            yield from value.items()
        else:
            yield option, value


def _algorithm(here: Place, algorithm: Algorithm) -> None:
    form = algorithm.get("form", "module")
    _expect(form == "module", (*here, "form"), form, "module, or no form")
    _word((*here, "name"), algorithm["name"], names.CONGESTION_CONTROL, "the name of an algorithm")
    _word((*here, "source_sha256"), algorithm["source_sha256"], _SHA256, "a SHA-256 in hexadecimal")
    try:
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(base64.b64decode(algorithm["object"], validate=True), MAX_OBJECT_BYTES + 1)
    except (ValueError, zlib.error):
        data = b""
    is_whole = data.startswith(b"\x7fELF") and len(data) <= MAX_OBJECT_BYTES and unpacking.eof
    _expect(is_whole, (*here, "object"), algorithm["object"], "a BPF object, compressed, in base64")


def _expect(condition: bool, place: Place, found: Any, expected: str) -> None:
    if not condition:
        raise _WrongError(place, f"found {shown(found)}; expected {expected}")


def _between(place: Place, value: float, least: int, most: int) -> None:
    _expect(least <= value <= most, place, value, f"a number from {least} to {most}")


def _word(place: Place, text: str, pattern: str, expected: str) -> None:
    _expect(re.fullmatch(pattern, text) is not None, place, text, expected)


def _count(place: Place, items: Sequence[Any], most: int) -> None:
    _expect(0 < len(items) <= most, place, list(items), f"from 1 to {most}")


def _distinct(where: str, found: Sequence[Any], key: str = "name") -> None:
    seen = set()
    for number, one in enumerate(found):
        _expect(one not in seen, (where, number, key), one, "each of them once")
        seen.add(one)


def _ascending(place: Place, numbers: Sequence[int], least: int, most: int) -> None:
    before = least
    for number, value in enumerate(numbers):
        _between((*place, number), value, before, most)
        before = value
