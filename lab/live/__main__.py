# SPDX-License-Identifier: Apache-2.0
"""``python3 -m lab.live``, the program behind ``lab trace``: parse the command line and run one collector.

Errors are reported in one line on standard error.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from lab.agent.collectors.loader import LoaderError
from lab.agent.collectors.registry import COLLECTORS
from lab.agent.collectors.support import NEEDS_ROOT, first_line, try_all
from lab.job.bpf_sources import BPF_SOURCES
from lab.live.output import NoReaderError, Output, OutputError
from lab.live.switch import SwitchError, tell
from lab.live.timestamps import KINDS

if TYPE_CHECKING:
    from lab.live.session import Request

EXIT_OK = 0
EXIT_CANNOT = 2
MAX_PID = 1 << 22
"""The greatest number of a process (PID_MAX_LIMIT, include/linux/threads.h)."""
MIN_INTERVAL_S = 0.01
"""The shortest time between two tables of ``flow``, in seconds."""
RENAMED = {"probe": "tcp_probe"}
"""Names that collectors had in earlier versions → their current names."""

_ABOUT = {
    "list": "show which collectors work on this kernel, and why others do not",
    "tcp_probe": "congestion state at each received segment, as the tcpprobe kernel module printed it",
    "flow": "bytes that each process sends and receives on each connection, per interval",
    "life": "one line per connection, when it ends",
    "states": "each change of a connection's TCP state",
    "retrans": "each retransmitted segment, and why it was retransmitted",
    "resets": "connection resets that are sent or received",
    "destroy": "sockets that the kernel destroys",
    "packets": "headers and flags of each received TCP segment",
    "drops": "where packets are dropped, and why",
    "queue": "the state of interfaces' queues: backlog, drops, ECN marks, time that packets spend in the queue",
}


class Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in one line and exits with :data:`EXIT_CANNOT`."""

    def error(self, message: str) -> NoReturn:
        """Print *message* with a hint at ``--help`` and exit."""
        sys.exit(_cannot(f"{self.prog}: {message} (see {self.prog} --help)"))


def parser() -> Parser:
    """Return the parser of the whole command line, with a subcommand for each collector."""
    top = Parser(prog="lab trace", description="Trace this host's TCP live, as root. Press Ctrl-C to stop.")
    commands = top.add_subparsers(dest="collector", metavar="NAME", required=True)
    listing = commands.add_parser("list", help=_ABOUT["list"], description=f"{_ABOUT['list'].capitalize()}.")
    listing.add_argument("--json", action="store_true", help="print one JSON document")
    for name in COLLECTORS:
        _add_options(name, commands.add_parser(name, help=_ABOUT[name], description=f"Print {_ABOUT[name]}."))
    return top


def _add_options(name: str, command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", dest="form", action="store_const", const="json", help="print a JSON object per line")
    command.add_argument(
        "--timestamps",
        choices=KINDS,
        help="show times as seconds since the start of the trace (start), as date and time (wall), or as seconds since "
        "the machine's boot (boot), which is the same for all traces (default: start)",
    )
    command.add_argument("--duration", type=_seconds, metavar="SECONDS", help="stop after this time")
    what = "intervals" if name == "flow" else "events"
    command.add_argument("--count", type=_positive, metavar="N", help=f"stop after this number of {what}")
    if name != "queue":
        _add_filter_options(command)
    own_options = {
        "tcp_probe": _add_tcp_probe_options,
        "flow": _add_flow_options,
        "drops": _add_drops_options,
        "queue": _add_queue_options,
    }
    if name in own_options:
        own_options[name](command)


def _add_filter_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--port", type=_port, help="only connections with this port at either end")
    command.add_argument(
        "--host", type=_address, metavar="ADDRESS", help="only connections with this address at either end"
    )
    command.add_argument(
        "--source",
        type=_address,
        metavar="ADDRESS",
        help="only connections with this local address (for packets: this sender)",
    )
    command.add_argument(
        "--destination",
        type=_address,
        metavar="ADDRESS",
        help="only connections with this remote address (for packets: this receiver)",
    )


def _add_tcp_probe_options(command: argparse.ArgumentParser) -> None:
    modes = command.add_mutually_exclusive_group()
    modes.add_argument(
        "--full", dest="record", action="store_const", const="every_ack", help="print every segment (default)"
    )
    modes.add_argument(
        "--on-change",
        dest="record",
        action="store_const",
        const="cwnd_change",
        help="print a segment only if cwnd or ssthresh has changed",
    )
    command.add_argument("--transmit", action="store_true", help="also print segments that are sent")
    command.add_argument(
        "--ends",
        choices=("senders", "receivers", "both"),
        default="both",
        help="which sockets match --port: those with the port at the remote end (senders), "
        "at the local end (receivers), or at either end (default: both)",
    )
    command.add_argument(
        "--format",
        dest="form",
        choices=("table", "json", "tcpprobe"),
        help="output format; tcpprobe prints the lines of the tcpprobe kernel module (default: table)",
    )


def _add_flow_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--interval", type=_interval, default=1.0, metavar="SECONDS", help="time between two tables (default: 1)"
    )
    command.add_argument("--pid", type=_pid, help="only this process")


def _add_drops_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--latency",
        action="store_true",
        help="when the trace ends, also print how long packets took between places in the network stack",
    )
    command.add_argument("--start-off", action="store_true", help="start switched off, until --on is given")
    for order, help_text in (
        ("on", "switch on the trace that is already running"),
        ("off", "switch off the trace that is already running"),
        ("status", "show whether the trace that is already running is on or off"),
    ):
        command.add_argument(f"--{order}", dest="tell", action="store_const", const=order, help=help_text)


def _add_queue_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--interval",
        type=_seconds,
        default=0.01,
        metavar="SECONDS",
        help="time between two samples (default: 0.01; 0 switches samples off)",
    )
    command.add_argument("--every-packet", action="store_true", help="also print each packet that enters or leaves")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``lab trace`` with *arguments* (default: those of the process) and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in RENAMED:
        return _cannot(f"lab trace: {given[0]!r} has been renamed: write lab trace {RENAMED[given[0]]}")
    _open_missing_files()
    try:
        return _run(parser().parse_args(given))
    except NoReaderError:
        _give_up_output()
        return _die_of(signal.SIGPIPE)  # as other programs do whose reader has ended
    except KeyboardInterrupt:
        return _die_of(signal.SIGINT)


def _run(asked: argparse.Namespace) -> int:
    name = asked.collector
    try:
        if sys.stdout is None:
            raise OutputError("standard output is closed")
        out = Output(sys.stdout)
        if name == "list":
            return _list(out, as_json=asked.json)
        if os.geteuid() != 0:
            return _cannot(f"lab trace {name}: {NEEDS_ROOT}")
        if getattr(asked, "tell", None) is not None:
            out.write([f"{name}: {tell(name, asked.tell)}"])
            return EXIT_OK
        # This import needs bcc and takes half a second, so it is done only when a session is needed.
        from lab.live.session import Session

        session = Session(_request(name, asked), BPF_SOURCES, out, lambda what: _say(f"{name}: {what}"))
        printed = session.run()
    except NoReaderError:
        raise
    except OutputError as exc:
        _give_up_output()
        return _cannot(f"lab trace {name}: {exc}")
    except (LoaderError, SwitchError) as exc:
        return _cannot(f"lab trace {name}: {first_line(exc)}")
    _tell_user(*session.latency_lines(), f"lab: {name}: {printed} events, {session.lost} lost")
    return EXIT_OK


def _request(name: str, asked: argparse.Namespace) -> Request:
    from lab.live.session import Request

    given = {option: value for option, value in vars(asked).items() if value is not None}
    options = dict(given)
    if name == "queue":
        options["interval"] = round(asked.interval * 1e9)
    return Request(
        collector=name,
        options=options,
        form=given.get("form", "table"),
        duration_s=given.get("duration"),
        count=given.get("count"),
        interval_s=given.get("interval", 1.0),
        start_off=given.get("start_off", False),
        timestamps=asked.timestamps,
    )


def _list(out: Output, *, as_json: bool) -> int:
    if as_json:
        out.write([json.dumps([vars(support) for support in try_all(BPF_SOURCES)], indent=1)])
        return EXIT_OK
    for support in try_all(BPF_SOURCES):
        state = "ok" if support.works else "--"
        out.write([f"{support.collector:<9} {state}  {support.why or support.hooks}"])
    return EXIT_OK


def _open_missing_files() -> None:
    """Open /dev/null as standard input, output or error if it is closed.

    Otherwise, the next file that is opened would get its number, and a message for the user would end up in that file.
    """
    missing = 0
    while missing <= 2:
        missing = os.open(os.devnull, os.O_RDWR)
    os.close(missing)
    if sys.stderr is None:
        _give_up_messages()


def _give_up_messages() -> None:
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - it is for the rest of the process


def _give_up_output() -> None:
    """Let what Python still wants to write to standard output when it exits go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _die_of(number: signal.Signals) -> int:
    """End this process by a signal, so that the shell knows why it has ended."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def _say(what: str) -> None:
    _tell_user(f"lab: {what}")


def _tell_user(*lines: str) -> None:
    """Print *lines* on standard error; a trace goes on if nobody reads them."""
    try:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
    except OSError:
        _give_up_messages()


def _cannot(message: str) -> int:
    _tell_user(message)
    return EXIT_CANNOT


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else 0
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a port from 1 to 65535")
    return port


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number of at least 1")
    return int(text)


def _pid(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PID:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected the number of a process, from 1 to {MAX_PID}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a time in seconds, such as 0.5")
    return seconds


def _interval(text: str) -> float:
    seconds = _seconds(text)
    if seconds < MIN_INTERVAL_S:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected at least {MIN_INTERVAL_S} seconds")
    return seconds


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected an IPv4 or IPv6 address") from None


if __name__ == "__main__":
    sys.exit(main())
