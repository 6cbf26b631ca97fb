# SPDX-License-Identifier: Apache-2.0
"""``python3 -m lab.live``, which is ``lab trace``: reads the command line, says in one line what went wrong."""

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
"""Names of collectors in earlier versions → today's."""

_ABOUT = {
    "list": "which collectors work on this kernel, and why not the others",
    "tcp_probe": "congestion state at every segment received, as the tcpprobe module printed it",
    "flow": "bytes sent and received by process and connection, per interval",
    "life": "one line per connection, when it ends",
    "states": "every change of a connection's state",
    "retrans": "every retransmitted segment, and why it was",
    "resets": "connection resets, sent and received",
    "destroy": "sockets that are taken down",
    "packets": "headers and flags of every TCP segment received",
    "drops": "where packets are dropped, and why",
    "queue": "queues of interfaces: backlog, drops, marks, time in the queue",
}


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(EXIT_CANNOT)


def parser() -> Parser:
    top = Parser(prog="lab trace", description="Trace this host's TCP live, as root. Ctrl-C ends it.")
    commands = top.add_subparsers(dest="collector", metavar="NAME", required=True)
    listing = commands.add_parser("list", help=_ABOUT["list"], description=_ABOUT["list"])
    listing.add_argument("--json", action="store_true", help="one JSON document")
    for name in COLLECTORS:
        _add_options(name, commands.add_parser(name, help=_ABOUT[name], description=_ABOUT[name]))
    return top


def _add_options(name: str, command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", dest="form", action="store_const", const="json", help="a JSON object per line")
    command.add_argument("--duration", type=_seconds, metavar="SECONDS", help="end after so long")
    what = "intervals" if name == "flow" else "events"
    command.add_argument("--count", type=_positive, metavar="N", help=f"end after so many {what}")
    if name != "queue":
        command.add_argument("--port", type=_port, help="a port that either end has")
        command.add_argument("--host", type=_address, metavar="ADDRESS", help="an address that either end has")
        command.add_argument("--source", type=_address, metavar="ADDRESS", help="the local end; of packets, the sender")
        command.add_argument(
            "--destination", type=_address, metavar="ADDRESS", help="the remote end; of packets, the receiver"
        )
    if name == "tcp_probe":
        modes = command.add_mutually_exclusive_group()
        modes.add_argument(
            "--full", dest="record", action="store_const", const="every_ack", help="every segment (default)"
        )
        modes.add_argument(
            "--on-change",
            dest="record",
            action="store_const",
            const="cwnd_change",
            help="when cwnd or ssthresh changes",
        )
        command.add_argument("--transmit", action="store_true", help="also segments that are sent")
        command.add_argument(
            "--ends", choices=("senders", "receivers", "both"), default="both", help="at which end --port is"
        )
        command.add_argument("--format", dest="form", choices=("table", "json", "tcpprobe"), help="tcpprobe: its lines")
    elif name == "flow":
        command.add_argument("--interval", type=_seconds, default=1.0, metavar="SECONDS", help="default: 1")
        command.add_argument("--pid", type=_positive, help="one process only")
    elif name == "drops":
        command.add_argument("--latency", action="store_true", help="at the end, how long packets took along the stack")
        command.add_argument("--start-off", action="store_true", help="wait for --on")
        for told in ("on", "off", "status"):
            command.add_argument(
                f"--{told}", dest="tell", action="store_const", const=told, help="of the one that runs already"
            )
    elif name == "queue":
        command.add_argument(
            "--interval", type=_seconds, default=0.01, metavar="SECONDS", help="of samples; default: 0.01; 0: none"
        )
        command.add_argument("--every-packet", action="store_true", help="also each packet that enters or leaves")


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in RENAMED:
        return _cannot(f"lab trace: {given[0]!r} has been renamed: write lab trace {RENAMED[given[0]]}")
    asked = parser().parse_args(given)
    # The reader of our output may go, as `head` does.
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
        from lab.live.session import Session  # takes bcc, and half a second: not before it is needed

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
        print(f"{support.collector:<8} {state}  {support.why or support.hooks}", flush=True)
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
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a number from 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected seconds, such as 0.5")
    return seconds


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected an IPv4 or IPv6 address") from None


if __name__ == "__main__":
    sys.exit(main())
