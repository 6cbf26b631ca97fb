# SPDX-License-Identifier: Apache-2.0
"""Test script for the guest: run ``lab trace`` while events are caused; return what was printed and what was done."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

BYTES = 1_000_003
SO_ATTACH_FILTER = 26


class Tracer:
    """A running ``lab trace``."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lab.live", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        first = self.process.stderr.readline()
        assert "tracing" in first, first + self.process.stderr.read()

    def stop(self) -> dict[str, Any]:
        time.sleep(0.5)
        self.process.send_signal(signal.SIGINT)
        output, errors = self.process.communicate()
        return {"output": output, "errors": errors, "status": self.process.returncode}


def traced(act: Callable[[], Any], *arguments: str) -> dict[str, Any]:
    tracer = Tracer(*arguments)
    done = act()
    return {**tracer.stop(), "done": done}


def transfer(count: int = BYTES, address: str = "127.0.0.1") -> dict[str, Any]:
    """Send *count* bytes over one connection; the client closes first."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind((address, 0))
        server.listen()
        received = 0

        def serve() -> None:
            nonlocal received
            connection, _peer = server.accept()
            with connection:
                while data := connection.recv(1 << 16):
                    received += len(data)

        thread = threading.Thread(target=serve)
        thread.start()
        with socket.create_connection(server.getsockname()[:2]) as client:
            client.sendall(bytes(count))
            port = client.getsockname()[1]
        thread.join()
        return {"pid": os.getpid(), "client": port, "server": server.getsockname()[1], "received": received}


def command(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


def counters(namespace: str | None = None) -> dict[str, int]:
    from lab.agent.counters import read_counters

    if namespace is None:
        return read_counters()
    code = "import json; from lab.agent.counters import read_counters; print(json.dumps(read_counters()))"
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def network() -> None:
    """Create the namespace ``peer`` (10.9.0.2) and connect it to this namespace (10.9.0.1) with a veth pair.

    ``peer`` forwards packets but has no routes for them.
    """
    command("ip", "netns", "add", "peer")
    command("ip", "link", "add", "veth-a", "type", "veth", "peer", "name", "veth-b", "netns", "peer")
    # Without link-local addresses, IPv6 sends no packets of its own.
    command("ip", "link", "set", "veth-a", "addrgenmode", "none")
    command("ip", "netns", "exec", "peer", "ip", "link", "set", "veth-b", "addrgenmode", "none")
    command("ip", "address", "add", "10.9.0.1/24", "dev", "veth-a")
    command("ip", "link", "set", "veth-a", "up")
    for words in (
        ("ip", "address", "add", "10.9.0.2/24", "dev", "veth-b"),
        ("ip", "link", "set", "veth-b", "up"),
        ("ip", "link", "set", "lo", "up"),
        ("sysctl", "-qw", "net.ipv4.ip_forward=1"),
    ):
        command("ip", "netns", "exec", "peer", *words)
    command("ip", "route", "add", "10.99.0.0/16", "via", "10.9.0.2")
    command("ping", "-c", "1", "10.9.0.2")


def datagrams(address: str, port: int, number: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for index in range(number):
            sender.sendto(bytes([index]) * 100, (address, port))


def nowhere() -> dict[str, Any]:
    datagrams("10.99.0.1", 7001, 7)
    return {"sent": 7}


def full_buffer() -> dict[str, Any]:
    """Send datagrams to a socket that nobody reads."""
    before = counters()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        receiver.bind(("127.0.0.1", 7002))
        datagrams("127.0.0.1", 7002, 50)
        time.sleep(0.2)
        grown = counters()["UdpRcvbufErrors"] - before["UdpRcvbufErrors"]
        receiver.setblocking(False)
        read = 0
        try:
            while receiver.recv(2048):
                read += 1
        except BlockingIOError:
            pass
    return {"sent": 50, "counted": grown, "read": read}


def wrong_checksum() -> dict[str, Any]:
    """Send datagrams with a wrong UDP checksum to an open port."""
    before = counters("peer")
    receiver = subprocess.Popen(
        ["ip", "netns", "exec", "peer", "socat", "-u", "UDP4-RECV:7003", "OPEN:/dev/null"], stderr=subprocess.DEVNULL
    )
    time.sleep(0.5)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as sender:
        for _ in range(5):
            payload = bytes(32)
            sender.sendto(struct.pack("!HHHH", 7004, 7003, 8 + len(payload), 0x1234) + payload, ("10.9.0.2", 0))
    time.sleep(0.5)
    receiver.terminate()
    receiver.wait()
    after = counters("peer")
    return {"sent": 5, "counted": after["UdpInCsumErrors"] - before["UdpInCsumErrors"]}


def filtered() -> dict[str, Any]:
    """Send 6 datagrams that a socket's filter drops, and 4 that a tc filter on a device's ingress drops."""
    refuse = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K, 0 bytes
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        instructions = ctypes.create_string_buffer(refuse)
        program = struct.pack("HxxxxxxQ", 1, ctypes.addressof(instructions))
        receiver.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        receiver.bind(("127.0.0.1", 7005))
        datagrams("127.0.0.1", 7005, 6)
        time.sleep(0.2)
    inside = ("ip", "netns", "exec", "peer", "tc")
    command(*inside, "qdisc", "add", "dev", "veth-b", "clsact")
    command(*inside, "filter", "add", "dev", "veth-b", "ingress", "matchall", "action", "drop")
    datagrams("10.9.0.2", 7006, 4)
    time.sleep(0.2)
    command(*inside, "qdisc", "del", "dev", "veth-b", "clsact")
    return {"socket": 6, "tc": 4}


def switched() -> dict[str, Any]:
    """Cause a drop before, while and after the collector is off; return the answers to the commands that switch it."""
    told: list[str] = []
    for word in ("--status", "--off", "--status", "--on"):
        datagrams("127.0.0.1", 7010 + len(told), 1)  # It is dropped with the reason NO_SOCKET.
        time.sleep(0.3)
        asked = [sys.executable, "-m", "lab.live", "drops", word]
        told.append(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    time.sleep(0.3)
    datagrams("127.0.0.1", 7014, 1)
    return {"told": told}


def shaped() -> dict[str, Any]:
    """Send 100 datagrams through a rate limit of 1 Mbit/s with a queue of 20 packets."""
    command("tc", "qdisc", "add", "dev", "veth-a", "root", "handle", "1:", "tbf",
            "rate", "1mbit", "burst", "2000", "limit", "100000")  # fmt: skip
    command("tc", "qdisc", "add", "dev", "veth-a", "parent", "1:", "handle", "2:", "pfifo", "limit", "20")
    datagrams("10.9.0.2", 7020, 100)
    time.sleep(0.5)
    shown = subprocess.run(
        ["tc", "-j", "-s", "qdisc", "show", "dev", "veth-a"], check=True, capture_output=True, text=True
    )
    command("tc", "qdisc", "del", "dev", "veth-a", "root")
    (outer,) = (qdisc for qdisc in json.loads(shown.stdout) if qdisc["kind"] == "tbf")
    return {"dropped": outer["drops"], "sent": outer["packets"]}


def queues_that_change() -> None:
    """Let a packet be dropped at random, then by a full queue, then at random again."""
    for number, qdisc in enumerate(("netem loss 100%", "bfifo limit 100", "netem loss 100%")):
        command("tc", "qdisc", "replace", "dev", "veth-a", "root", *qdisc.split())
        datagrams("10.9.0.2", 7030 + number, 1)
        time.sleep(1.5)  # The trace looks up once a second what queues there are.
    command("tc", "qdisc", "del", "dev", "veth-a", "root")


def clock_that_is_set() -> list[int]:
    """Open a connection, set the clock an hour ahead, open another one; return the dates before and after each."""
    dates = []
    for _ in range(2):
        dates.append(time.time_ns())
        transfer(100)
        time.sleep(0.3)  # By then, the events have been printed.
        dates.append(time.time_ns())
        time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + 3600 * 10**9)
    return dates


def both_families(count: int) -> list[dict[str, Any]]:
    return [transfer(count), transfer(count, "::1")]


def every_cause() -> dict[str, Any]:
    """Cause drops for each reason in turn; the drops are told apart by their destination ports."""
    return {
        "no_route": nowhere(),
        "receive_buffer": full_buffer(),
        "checksum": wrong_checksum(),
        "firewall": filtered(),
        "queue_overflow": shaped(),
    }


def listed() -> str:
    command = [sys.executable, "-m", "lab.live", "list"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


SESSIONS: dict[str, Callable[[], Any]] = {
    "list": listed,
    "flow": lambda: traced(lambda: both_families(BYTES), "flow", "--interval", "0.5", "--json", "--timestamps", "wall"),
    "flow of another process": lambda: traced(
        transfer, "flow", "--interval", "0.3", "--pid", "1000000", "--timestamps", "boot"
    ),
    "packets": lambda: traced(lambda: both_families(100), "packets", "--json"),
    "packets table": lambda: traced(lambda: transfer(100), "packets"),
    "transmit": lambda: traced(lambda: transfer(5000), "tcp_probe", "--transmit", "--json"),
    "latency": lambda: traced(lambda: transfer(100), "drops", "--latency"),
    "causes": lambda: traced(every_cause, "drops", "--json"),
    "switched": lambda: traced(switched, "drops", "--json"),
    "causes that change": lambda: traced(queues_that_change, "drops", "--json"),
    "dates": lambda: traced(clock_that_is_set, "states", "--json", "--timestamps", "wall"),
    "queue": lambda: traced(shaped, "queue", "--every-packet", "--interval", "0.05", "--json"),
}


def main(asked: list[str]) -> dict[str, Any]:
    """Return what each of the sessions in *asked* printed and what was done while it ran."""
    network()
    return {name: SESSIONS[name]() for name in asked}
