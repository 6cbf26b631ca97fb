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

from lab.agent.collectors.loader import BPF_SOURCES, LoaderError
from lab.agent.collectors.registry import COLLECTORS
from lab.agent.collectors.support import NEEDS_ROOT, first_line, try_all
from lab.live.switch import SwitchError, tell

if TYPE_CHECKING:
    from lab.live.session import Request

EXIT_OK = 0
EXIT_CANNOT = 2
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
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(EXIT_CANNOT)


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
        "--interval", type=_seconds, default=1.0, metavar="SECONDS", help="time between two tables (default: 1)"
    )
    command.add_argument("--pid", type=_positive, help="only this process")


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
    asked = parser().parse_args(given)
    # With the default action for SIGPIPE, the program ends quietly when the reader of its output exits, as `head` does.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if asked.collector == "list":
        return _list(asked.json)
    name = asked.collector
    if os.geteuid() != 0:
        return _cannot(f"lab trace {name}: {NEEDS_ROOT}")
    try:
        if getattr(asked, "tell", None) is not None:
            print(f"{name}: {tell(name, asked.tell)}")
            return EXIT_OK
        # This import needs bcc and takes half a second, so it is done only when a session is needed.
        from lab.live.session import Session

        session = Session(_request(name, asked), BPF_SOURCES, sys.stdout, lambda what: _say(f"{name}: {what}"))
        printed = session.run()
    except (LoaderError, SwitchError) as exc:
        return _cannot(f"lab trace {name}: {first_line(exc)}")
    for latency in session.latency_lines():
        print(latency, file=sys.stderr)
    _say(f"{name}: {printed} events, {session.lost} lost")
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
    )


def _list(as_json: bool) -> int:
    if as_json:
        print(json.dumps([vars(support) for support in try_all(BPF_SOURCES)], indent=1))
        return EXIT_OK
    for support in try_all(BPF_SOURCES):
        state = "ok" if support.works else "--"
        print(f"{support.collector:<9} {state}  {support.why or support.hooks}", flush=True)
    return EXIT_OK


def _say(what: str) -> None:
    print(f"lab: {what}", file=sys.stderr, flush=True)


def _cannot(message: str) -> int:
    print(message, file=sys.stderr)
    return EXIT_CANNOT


def _port(text: str) -> int:
    port = int(text) if text.isdigit() else 0
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a port from 1 to 65535")
    return port


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number of at least 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a time in seconds, such as 0.5")
    return seconds


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected an IPv4 or IPv6 address") from None


if __name__ == "__main__":
    sys.exit(main())
