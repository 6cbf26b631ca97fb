# SPDX-License-Identifier: Apache-2.0
"""A tracer for comparison with ``lab trace tcp_probe``.

It is written like bcc's own tools, with a perf buffer and a callback for each event.

Run it as root with a Python interpreter that has bcc: ``python3 perf_buffer_tcp_probe.py PORT HEADERS``, where
HEADERS is the folder ``bpf/kernel``.  It prints a line for each ``tcp:tcp_probe`` event of the port until it gets a
SIGINT, and then the numbers of lines and of lost events on standard error.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

os.environ.setdefault("BCC_KERNEL_SOURCE", sys.argv[2])

from bcc import BPF

PROGRAM = r"""
struct event {
	u64 ts_ns;
	u32 snd_nxt, snd_una, snd_cwnd, ssthresh, snd_wnd, srtt, rcv_wnd;
	u16 sport, dport, data_len;
};
BPF_PERF_OUTPUT(events);

TRACEPOINT_PROBE(tcp, tcp_probe)
{
	struct event event = {};

	if (args->sport != PORT && args->dport != PORT)
		return 0;
	event.ts_ns = bpf_ktime_get_ns();
	event.snd_nxt = args->snd_nxt;
	event.snd_una = args->snd_una;
	event.snd_cwnd = args->snd_cwnd;
	event.ssthresh = args->ssthresh;
	event.snd_wnd = args->snd_wnd;
	event.srtt = args->srtt;
	event.rcv_wnd = args->rcv_wnd;
	event.sport = args->sport;
	event.dport = args->dport;
	event.data_len = args->data_len;
	events.perf_submit(args, &event, sizeof(event));
	return 0;
}
"""


def main() -> None:
    bpf = BPF(text=PROGRAM, cflags=[f"-DPORT={int(sys.argv[1])}", "-Wno-everything"])
    printed = lost = 0

    def on_event(_cpu: int, data: Any, _size: int) -> None:
        nonlocal printed
        event = bpf["events"].event(data)
        print(
            f"{event.ts_ns} {event.sport} {event.dport} {event.data_len} {event.snd_nxt:#x} {event.snd_una:#x} "
            f"{event.snd_cwnd} {event.ssthresh} {event.snd_wnd} {event.srtt} {event.rcv_wnd}"
        )
        printed += 1

    def on_lost(count: ctypes.c_uint64 | int) -> None:
        nonlocal lost
        lost += int(count)

    bpf["events"].open_perf_buffer(on_event, page_cnt=64, lost_cb=on_lost)
    stopped = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGINT, stop)
    print("ready", file=sys.stderr, flush=True)
    while not stopped:
        bpf.perf_buffer_poll(timeout=100)
    print(f"{printed} events, {lost} lost", file=sys.stderr)


if __name__ == "__main__":
    main()
