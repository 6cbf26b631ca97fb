# SPDX-License-Identifier: Apache-2.0
"""Test ``lab trace`` on this machine's kernel: cause events on purpose and check that exactly these are printed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import lab_command
from tests.live.tracing import BYTES, Rows, Tracer, listening, transfer

pytestmark = pytest.mark.live


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_states_of_one_connection(address: str) -> None:
    with listening(address) as server:
        tracer = Tracer("states", "--json", "--port", str(server.getsockname()[1]))
        transfer(server)
        rows = tracer.rows()
    ends: dict[int, Rows] = {}
    for row in rows:
        ends.setdefault(row["skaddr"], []).append(row)
    assert {row["saddr"] for row in rows} <= {address, "::", "0.0.0.0"}
    chains = sorted([end[0]["oldstate"], *(row["newstate"] for row in end)] for end in ends.values())
    client, accepted = chains
    assert client[:4] == ["CLOSE", "SYN_SENT", "ESTABLISHED", "FIN_WAIT1"]
    assert accepted == ["LISTEN", "SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSE"]
    for end in ends.values():
        assert all(after["duration_ns"] == after["time_ns"] - before["time_ns"] or before["newstate"] == "CLOSE"
                   for before, after in pairwise(end))  # fmt: skip


def test_life_counts_every_byte() -> None:
    with listening() as server:
        tracer = Tracer("life", "--json", "--port", str(server.getsockname()[1]))
        transfer(server)
        client, accepted = sorted(tracer.rows(), key=lambda row: -row["tx_bytes"])
    # The kernel counts SYN and FIN as one acknowledged byte each, and FIN as one received byte.
    assert client["tx_bytes"] - BYTES in (0, 1, 2)
    assert accepted["rx_bytes"] - BYTES in (0, 1)
    assert client["rx_bytes"] <= 1 >= accepted["tx_bytes"]
    assert client["pid"] == accepted["pid"] == os.getpid()


def test_a_socket_that_is_taken_down() -> None:
    with listening() as server:
        tracer = Tracer("destroy", "--json", "--port", str(server.getsockname()[1]))
        transfer(server)
        rows = tracer.rows()
    # Both ends are destroyed.  The one in TIME_WAIT has been replaced by a smaller kind of socket.
    assert len(rows) == 2


def test_one_reset_that_is_sent_and_received() -> None:
    with listening() as server:
        port = server.getsockname()[1]
        tracer = Tracer("resets", "--json", "--port", str(port))
        with socket.create_connection(server.getsockname()) as client:
            accepted, _peer = server.accept()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        rows = tracer.rows()
    assert Counter(row["is_sent"] for row in rows) == {"sent": 1, "received": 1}
    (sent,) = (row for row in rows if row["is_sent"] == "sent")
    assert sent["dport"] == port
    assert sent["netns"] == os.stat("/proc/self/ns/net").st_ino


def inside(namespace: str, program: str, timeout: float = 60) -> str:
    command = ["ip", "netns", "exec", namespace, "python3", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout).stdout


def netstat(namespace: str, counter: str) -> int:
    text = inside(namespace, "print(open('/proc/net/netstat').read())")
    lines = [line.split() for line in text.splitlines() if line]
    return next(
        int(values[names.index(counter)])
        for names, values in zip(lines[::2], lines[1::2], strict=True)
        if counter in names
    )


def test_retransmissions_of_a_syn(namespace: str) -> None:
    tracer = Tracer("retrans", "--json", "--port", "4321")
    program = (
        "import socket\n"
        "s = socket.socket(); s.settimeout(3.6)\n"
        "try: s.connect(('10.99.0.2', 4321))\n"
        "except TimeoutError: pass\n"
    )
    inside(namespace, program)
    rows = tracer.rows()
    assert len(rows) == netstat(namespace, "TCPSynRetrans") >= 2
    assert {(row["kind"], row["state"], row["saddr"]) for row in rows} == {("timeout", "SYN_SENT", "10.99.0.1")}
    assert len({row["seq"] for row in rows}) == 1


def tbf_of(namespace: str) -> dict[str, Any]:
    command = ["tc", "-n", namespace, "-j", "-s", "qdisc", "show", "dev", "inside"]
    shown = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return next(qdisc for qdisc in shown if qdisc["kind"] == "tbf")


def test_drops_and_backlog_of_a_queue_are_tc_s(namespace: str) -> None:
    shape = f"-n {namespace} qdisc replace dev inside root tbf rate 1mbit burst 2000 limit 10000"
    subprocess.run(["tc", *shape.split()], check=True)
    enter = ("ip", "netns", "exec", namespace)
    drops = Tracer("drops", "--json", "--host", "10.99.0.2", prefix=enter)
    queue = Tracer("queue", "--json", "--every-packet", prefix=enter)
    before = tbf_of(namespace)
    inside(
        namespace,
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for _ in range(50): s.sendto(bytes(1000), ('10.99.0.2', 9))",
    )
    time.sleep(0.5)  # Sending 10 kB at 1 Mbit/s takes 80 ms.
    # Packets that pass the queue are dropped at the other end, where nobody has their destination address.
    dropped = [row for row in drops.rows() if row["cause"] != "other"]
    samples = queue.rows()
    tbf = tbf_of(namespace)
    assert len(dropped) == tbf["drops"] - before["drops"] > 30
    assert {(row["interface"], row["cause"]) for row in dropped} == {("inside", "queue_overflow")}
    assert {row["packet_bytes"] for row in dropped} == {1042}
    entered = Counter(row["kind"] for row in samples if row["interface"] == "inside")
    passed = tbf["packets"] - before["packets"]
    assert (entered["enqueue"], entered["dequeue"]) == (passed, passed), [
        row for row in samples if row["interface"] == "inside"
    ]
    assert max(row["backlog_bytes"] for row in samples if row["interface"] == "inside") <= 10_000
    waits = sorted(row["sojourn_ns"] for row in samples if (row["interface"], row["kind"]) == ("inside", "dequeue"))
    assert 50e6 < waits[-1] < 100e6


def test_drops_are_switched_from_another_terminal(namespace: str) -> None:
    def told(command: str) -> str:
        done = subprocess.run(
            [str(lab_command()), "trace", "drops", command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def send(count: int) -> None:
        inside(
            namespace,
            "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"for _ in range({count}): s.sendto(bytes(1000), ('10.99.0.2', 9))",
        )

    # With a limit of 500 bytes, tbf drops all packets.
    tbf = f"-n {namespace} qdisc replace dev inside root tbf rate 1mbit burst 1600 limit 500"
    subprocess.run(["tc", *tbf.split()], check=True)
    tracer = Tracer("drops", "--json", "--host", "10.99.0.2", "--start-off")
    send(1)
    assert "off, 0 events" in told("--status")
    assert "on" in told("--on")
    send(20)
    time.sleep(0.5)
    assert "off" in told("--off")
    send(3)
    output, errors = tracer.stop()
    assert len(output.splitlines()) in (19, 20)  # The bucket may let one packet pass.
    assert "switched on" in errors
    assert "switched off" in errors
    done = subprocess.run([str(lab_command()), "trace", "drops", "--off"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no `lab trace drops` is running" in done.stderr


@pytest.fixture
def kernel_trace() -> Iterator[Path]:
    """An instance of the kernel's own tracer (ftrace)."""
    tracefs = Path("/sys/kernel/tracing")
    if not (tracefs / "instances").exists():
        subprocess.run(["mount", "-t", "tracefs", "tracefs", str(tracefs)], check=True)
    instance = tracefs / "instances" / f"labtest{os.getpid()}"
    instance.mkdir()
    try:
        yield instance
    finally:
        instance.rmdir()


def test_the_probe_is_the_kernels_own_tracepoint(kernel_trace: Path) -> None:
    event = kernel_trace / "events" / "tcp" / "tcp_probe"
    (kernel_trace / "buffer_size_kb").write_text("16384")
    with listening() as server:
        port = server.getsockname()[1]
        (event / "filter").write_text(f"sport == {port} || dport == {port}")
        (event / "enable").write_text("1")
        tracer = Tracer("tcp_probe", "--json", "--port", str(port))
        transfer(server, 50 * BYTES)
        rows = tracer.rows()
        (event / "enable").write_text("0")
    text = (kernel_trace / "trace").read_text()
    told = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in text.splitlines() if "tcp_probe:" in line]
    fields = {
        "data_len": "data_len", "snd_cwnd": "snd_cwnd", "ssthresh": "ssthresh", "snd_wnd": "snd_wnd", "srtt": "srtt_us",
        "rcv_wnd": "rcv_wnd",
    }  # fmt: skip
    kernels = Counter(
        (
            int(event_fields["snd_nxt"], 16),
            int(event_fields["snd_una"], 16),
            int(event_fields["sock_cookie"], 16),
            *(int(event_fields[name]) for name in fields),
        )
        for event_fields in told
    )
    ours = Counter(
        (row["snd_nxt"], row["snd_una"], row["sock_cookie"], *(row[column] for column in fields.values()))
        for row in rows
    )
    assert len(rows) > 100
    assert ours == kernels


def test_only_changes_of_the_window() -> None:
    with listening() as server:
        port = str(server.getsockname()[1])
        every, changes = (
            Tracer("tcp_probe", "--json", "--port", port),
            Tracer("tcp_probe", "--json", "--port", port, "--on-change"),
        )
        transfer(server, 20 * BYTES)
        all_rows, changed = every.rows(), changes.rows()
    windows: dict[int, list[tuple[int, int]]] = {}
    for row in all_rows:
        seen = windows.setdefault(row["sock_cookie"], [])
        if not seen or seen[-1] != (row["snd_cwnd"], row["ssthresh"]):
            seen.append((row["snd_cwnd"], row["ssthresh"]))
    assert len(changed) == sum(map(len, windows.values())) < len(all_rows)


def test_the_classic_line() -> None:
    with listening() as server:
        tracer = Tracer("tcp_probe", "--format", "tcpprobe", "--port", str(server.getsockname()[1]))
        transfer(server)
        output, _errors = tracer.stop()
    line = re.compile(r"\d+\.\d{9} 127\.0\.0\.1:\d+ 127\.0\.0\.1:\d+ \d+ 0x[0-9a-f]+ 0x[0-9a-f]+ \d+ \d+ \d+ \d+ \d+")
    assert output
    assert [text for text in output.splitlines() if not line.fullmatch(text)] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly(number: int) -> None:
    output, errors = Tracer("states", "--port", "1").stop(number)
    assert "OLDSTATE" in output
    assert errors.strip().endswith("0 events, 0 lost")


def test_it_ends_with_its_reader() -> None:
    with listening() as server:
        command = f"{lab_command()} trace tcp_probe --port {server.getsockname()[1]} | head -n 3"
        with subprocess.Popen(
            ["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stderr is not None
                assert "tracing" in process.stderr.readline()
                transfer(server)
                time.sleep(0.3)
                transfer(server)
                output, _errors = process.communicate(timeout=10)
            finally:
                process.kill()
    assert len(output.splitlines()) == 3


def test_the_list_is_true(tmp_path: Path) -> None:
    done = subprocess.run([str(lab_command()), "trace", "list", "--json"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert len(found) == 10
    for one in found:
        command = [str(lab_command()), "trace", one["collector"], "--duration", "0.1", "--json"]
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (tried.returncode == 0) == one["works"], tried.stderr
        if not one["works"]:
            assert tried.returncode == 2
            assert tried.stderr.strip() == f"lab trace {one['collector']}: {one['why']}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tcp_probe", "--port", "70000"], "expected a port from 1 to 65535"),
        (["probe", "--port", "5201"], "'probe' has been renamed: write lab trace tcp_probe"),
        (["tcp_probe", "--host", "nowhere"], "expected an IPv4 or IPv6 address"),
        (["states", "--duration", "-1"], "expected a time in seconds"),
        (["nosuch"], "invalid choice: 'nosuch'"),
        ([], "the following arguments are required: NAME"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], said: str) -> None:
    done = subprocess.run([str(lab_command()), "trace", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_without_bcc_it_says_what_to_install(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    (tmp_path / "bcc.py").write_text("raise ImportError('planted')")
    command = [str(lab_command()), "trace", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "python3-bpfcc" in done.stderr


def test_two_at_once_do_not_disturb_each_other() -> None:
    first, second = Tracer("states", "--json", "--port", "1"), Tracer("states", "--json", "--port", "1")
    with contextlib.ExitStack() as stack:
        stack.callback(second.stop)
        assert first.rows() == []
