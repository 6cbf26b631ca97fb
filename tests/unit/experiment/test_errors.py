# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 (a table: one line for each mistake)
"""Each kind of mistake in an experiment file: its reported line and column, and the text of its message.

A mistake is either one edit of ``BASE``, or a file in ``bad/``, whose last lines contain the expected messages.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.errors import SpecError
from lab.experiment.read.load import MAX_FILE_BYTES, load_experiment

BASE = """\
name: base
topology:
  kind: dumbbell
  pairs: 2
  access: {}
  bottleneck:
    rate: 20mbit
    delay: 20ms
    loss: 0%
    queue: {discipline: bfifo, limit: 1bdp}
flows:
  bulk: {from: s1, to: d1, cc: cubic}
  late: {from: s2, to: d2, start: 1s, duration: 5s}
duration: 30s
start_jitter: 100ms
matrix:
  flows.bulk.cc: [cubic, bbr]
  topology.bottleneck.loss: [0%, 0.1%, 1%]
repeat: 3
seed: 1
collect:
  tcp_probe: {record: every_ack}
"""

# The replaced text, its replacement, line:column, and parts of the message, which begins with the first part.
Edit = tuple[str, str, str, list[str]]

# fmt: off
EDITS: dict[str, Edit] = {
    # --- one field
    "rate_unit": ("20mbit", "20 parsecs", "7:11", ["topology.bottleneck.rate: found '20 parsecs'; expected a rate such as '20mbit' or '1.5gbit'"]),
    "rate_bare": ("20mbit", "20", "7:11", ["topology.bottleneck.rate: found 20; expected a rate", "a number needs its unit"]),
    "rate_bytes_per_second": ("20mbit", "20mbps", "7:11", ["topology.bottleneck.rate: found '20mbps'", "bytes per second to tc"]),
    "rate_zero": ("20mbit", "0mbit", "7:11", ["topology.bottleneck.rate: found '0mbit'; expected a rate from 8 bit/s to 1 Tbit/s"]),
    "rate_partial_byte": ("20mbit", "20.000001mbit", "7:11", ["topology.bottleneck.rate: found '20.000001mbit'; expected a multiple of 8 bit/s"]),
    "rate_nothing": ("rate: 20mbit", "rate:", "6:3", ["topology.bottleneck: 'rate' is missing (such as 20mbit; or a 'capacity' file)"]),
    "rate_list": ("20mbit", "[20mbit]", "7:11", ["topology.bottleneck.rate: found a list; expected a rate"]),
    "delay_negative": ("20ms", "-20ms", "8:12", ["topology.bottleneck.delay: found '-20ms'; expected a duration"]),
    "delay_too_long": ("delay: 20ms", "delay: 25h", "8:12", ["topology.bottleneck.delay: found '25h'; expected a duration from 0 ns to 86400 s"]),
    "loss_above_all": ("loss: 0%", "loss: 101%", "9:11", ["topology.bottleneck.loss: found '101%'; expected a probability such as '0.1%'"]),
    "loss_all": ("loss: 0%", "loss: 100%", "9:11", ["topology.bottleneck.loss: found '100%'; expected a loss below 100%"]),
    "loss_all_says_how": ("loss: 0%", "loss: 100%", "9:11", ["topology.bottleneck.loss: found '100%'; expected", "a link that is down for some time has a loss of 100% in its schedule"]),
    "loss_in_a_schedule": ("loss: 0%", "schedule: [{at: 5s, loss: 101%}]", "9:31", ["topology.bottleneck.schedule[0].loss: found '101%'; expected a probability such as '0.1%' or 0.001, at most 100%"]),
    "loss_in_a_schedule_too_small": ("loss: 0%", "schedule: [{at: 5s, loss: 0.00000001%}]", "9:31", ["topology.bottleneck.schedule[0].loss: found '0.00000001%'; expected 0 or at least"]),
    "loss_one": ("loss: 0%", "loss: 1", "9:11", ["topology.bottleneck.loss: found 1; expected a loss below 100%; did you mean '1%'?"]),
    "loss_unresolvable": ("loss: 0%", "loss: 0.00000001%", "9:11", ["topology.bottleneck.loss: found '0.00000001%'; expected 0 or at least", "netem"]),
    "discipline_typo": ("bfifo", "bfifi", "10:25", ["topology.bottleneck.queue.discipline: found 'bfifi'; expected 'bfifo', 'pfifo'", "did you mean 'bfifo'?"]),
    "discipline_null": ("bfifo", "~", "10:25", ["topology.bottleneck.queue.discipline: found nothing; expected 'bfifo'"]),
    "limit_unit": ("1bdp", "1bpd", "10:39", ["topology.bottleneck.queue.limit: found '1bpd'; expected a queue limit such as '1bdp'"]),
    "limit_kb": ("1bdp", "64kb", "10:39", ["topology.bottleneck.queue.limit: found '64kb'", "write B for bytes"]),
    "limit_zero": ("1bdp", "0bdp", "10:39", ["topology.bottleneck.queue.limit: found '0bdp'", "more than 0"]),
    "parameter_name": ("1bdp}", "1bdp, parameters: {Target: 5ms}}", "10:58", ["topology.bottleneck.queue.parameters.Target: 'Target' is not a usable name; expected lowercase letters"]),
    "parameter_false": ("1bdp}", "1bdp, parameters: {ecn: false}}", "10:63", ["topology.bottleneck.queue.parameters.ecn: found false; expected tc's own parameter that switches it off, such as noecn: true"]),
    "kind": ("dumbbell", "dumbell", "3:9", ["topology.kind: found 'dumbell'; expected one of dumbbell, parking-lot, star, linear, tree, single-link, custom; did you mean 'dumbbell'?"]),
    "pairs_text": ("pairs: 2", "pairs: two", "4:10", ["topology.pairs: found 'two'; expected a whole number"]),
    "pairs_fraction": ("pairs: 2", "pairs: 2.5", "4:10", ["topology.pairs: found 2.5; expected a whole number"]),
    "pairs_many": ("pairs: 2", "pairs: 1000", "4:10", ["topology.pairs: found 1000; expected at most 100"]),
    "access_text": ("access: {}", "access: none", "5:11", ["topology.access: found 'none'; expected a mapping"]),
    "name_path": ("name: base", "name: ../base", "1:7", ["name: found '../base'; expected up to 64 letters, digits"]),
    "name_number": ("name: base", "name: 2024", "1:7", ["name: found 2024; expected text; quote it"]),
    "cc_name": ("cc: cubic", "cc: CUBIC", "12:32", ["flows.bulk.cc: found 'CUBIC'; expected up to 15 lowercase letters", "such as cubic"]),
    "flow_name": ("  late:", "  too late:", "13:3", ["flows.too late: 'too late' is not a usable name; expected up to 32 letters"]),
    "flow_text": ("{from: s1, to: d1, cc: cubic}", "s1", "12:9", ["flows.bulk: found 's1'; expected a mapping"]),
    "duration_zero": ("duration: 30s", "duration: 0s", "14:11", ["duration: found '0s'; expected a duration from 1 ns"]),
    "repeat_zero": ("repeat: 3", "repeat: 0", "19:9", ["repeat: found 0; expected at least 1"]),
    "seed_negative": ("seed: 1", "seed: -1", "20:7", ["seed: found -1; expected at least 0"]),
    "record": ("every_ack", "every_nth", "22:23", ["collect.tcp_probe.record: found 'every_nth'; expected 'every_ack' or 'cwnd_change'"]),
    "ecn_boolean": ("seed: 1", "ecn: false", "20:6", ["ecn: found false; expected 'off', 'on' or 'passive'"]),
    "offloads_text": ("seed: 1", "offloads: off", "20:11", ["offloads: found 'off'; expected true or false"]),
    "mtu_small": ("seed: 1", "mtu: 100", "20:6", ["mtu: found 100; expected at least 576"]),
    "socket_buffer": ("seed: 1", "socket_buffer: big", "20:16", ["socket_buffer: found 'big'; expected a size", "or 'auto'"]),
    # --- names
    "unknown_top": ("repeat: 3", "repetitions: 3", "19:1", ["unknown field 'repetitions'; did you mean 'repeat'? (fields: name, title,"]),
    "unknown_far": ("repeat: 3", "zebra: 3", "19:1", ["unknown field 'zebra' (fields: name, title,"]),
    "unknown_in_flow": ("cc: cubic", "conjestion: cubic", "12:28", ["flows.bulk: unknown field 'conjestion'; did you mean 'cc'? (fields: from, to, protocol, cc, start, duration, count, every, direction, amount, arrivals, rate, pacing, message, mss, on, off, measure)"]),
    "unknown_in_link": ("rate: 20mbit", "rate: 20mbit\n    bandwith: 20mbit", "8:5", ["topology.bottleneck: unknown field 'bandwith'; did you mean 'rate'?"]),
    "collect_host": ("tcp_probe: {record: every_ack}", "life: {host: s9}", "22:16", ["collect.life.host: found 's9'; expected an address or a host (s1"]),
    "collect_address": ("tcp_probe: {record: every_ack}", "packets: {source: 10.0.0.300}", "22:21", ["collect.packets.source: found '10.0.0.300'; expected an address"]),
    "collect_port": ("tcp_probe: {record: every_ack}", "retrans: {port: 70000}", "22:19", ["collect.retrans.port: found 70000; expected at most 65535"]),
    "collect_window_late": ("tcp_probe: {record: every_ack}", "drops: {window: {from: 90s}}", "22:26", ["collect.drops.window.from: found 90 s; expected less than the experiment's duration"]),
    "collect_window_ends": ("tcp_probe: {record: every_ack}", "drops: {window: {from: 2s, to: 1s}}", "22:34", ["collect.drops.window.to: found 1 s with 'from' at 2 s"]),
    "collect_window_open": ("tcp_probe: {record: every_ack}", "drops: {window: {to: 1s}}", "22:11", ["collect.drops.window: 'from' is missing"]),
    "collect_interval": ("tcp_probe: {record: every_ack}", "queue: {interval: 5}", "22:21", ["collect.queue.interval: found 5; expected a duration"]),
    "unknown_collector": ("tcp_probe: {record: every_ack}", "prob: {}", "22:3", ["collect: unknown field 'prob'; did you mean 'tcp_probe'? (fields: "]),
    "renamed_collector": ("tcp_probe: {record: every_ack}", "probe: {}", "22:3", ["collect: field 'probe' has been renamed: write 'tcp_probe'"]),
    "renamed_field": ("rate: 20mbit", "trace: x", "7:5", ["topology.bottleneck: field 'trace' has been renamed: write 'capacity'"]),
    "missing_from": ("from: s1, ", "", "12:3", ["flows.bulk: 'from' is missing (The host that sends"]),
    "missing_name": ("name: base\n", "", "1:1", ["'name' is missing (Name of the experiment"]),
    "missing_duration": ("duration: 30s\n", "", "1:1", ["'duration' is missing", "such as 20ms"]),
    "missing_rate": ("    rate: 20mbit\n", "", "6:3", ["topology.bottleneck: 'rate' is missing"]),
    "number_as_name": ("  late:", "  1:", "13:3", ["flows.1: '1' is not a usable name"]),
    # --- between fields
    "host_unknown": ("from: s1", "from: s3", "12:16", ["flows.bulk.from: found 's3'; expected a host (s1, s2, d1 or d2); did you mean 's1'?"]),
    "host_router": ("to: d1", "to: r1", "12:24", ["flows.bulk.to: found 'r1', which is a router; expected a host"]),
    "host_same": ("to: d1", "to: s1", "12:24", ["flows.bulk.to: found 's1'; expected a host other than 'from'"]),
    "start_late": ("start: 1s", "start: 30s", "13:35", ["flows.late.start: found start 30 s; expected less than the experiment's duration, 30 s"]),
    "flow_of_part_of_a_second": ("duration: 5s", "duration: 5500ms", "13:49", ["flows.late.duration: found a flow 'late' that lasts 5.5 s; expected whole seconds"]),
    "flow_past_end": ("duration: 5s", "duration: 30s", "13:49", ["flows.late.duration: found 30 s after a start at 1 s; expected an end within"]),
    "queue_below_packet": ("limit: 1bdp", "limit: 1500B", "10:39", ["topology.bottleneck.queue.limit: found 1.5 kB", "less than one packet (1514 B", "the BDP is 100 kB"]),
    "queue_no_delay": ("delay: 20ms", "delay: 0ms", "10:39", ["topology.bottleneck.queue.limit: found 1 BDP", "without delay the BDP is 0"]),
    "queue_packets_below_one": ("bfifo, limit: 1bdp", "pfifo, limit: 1us", "10:39", ["topology.bottleneck.queue.limit: found 1 µs", "less than one packet"]),
    "limit_as_parameter": ("1bdp}", "1bdp, parameters: {limit: 5}}", "10:58", ["topology.bottleneck.queue.parameters.limit: found limit; expected the queue's own field 'limit' instead"]),
    "access_queue_without_rate": ("access: {}", "access: {queue: {}}", "5:12", ["topology.access.queue: found a queue without a rate"]),
    "ipv6_mtu": ("seed: 1", "seed: 1\nip: ipv6\nmtu: 1000", "22:6", ["mtu: found 1000 with ip: ipv6; expected at least 1280"]),
    "bin_narrow": ("seed: 1", "bin_width: 100us", "20:12", ["bin_width: found 100 µs; expected a width from 1 ms to 100 ms"]),
    "bin_wide": ("seed: 1", "bin_width: 1s", "20:12", ["bin_width: found 1 s; expected a width from 1 ms to 100 ms"]),
    "memory": ("    rate: 20mbit\n    delay: 20ms", "    rate: 10gbit\n    delay: 400ms", "2:1", ["topology: found paths that can hold 2 GB of TCP's data", "need 8 GB of memory; expected at most"]),
    "rtt_beyond_duration": ("delay: 20ms", "delay: 15s", "14:11", ["duration: found 30 s; expected more than the path's base RTT, 30 s"]),
    # --- the matrix
    "axis_value": ("[0%, 0.1%, 1%]", "[0%, 0.1%, 101%]", "18:40", ["matrix.topology.bottleneck.loss[2]: found '101%'; expected a probability"]),
    "axis_path_typo": ("  topology.bottleneck.loss", "  topology.bottleneck.los", "18:3", ["matrix.topology.bottleneck.los: unknown field 'los'; did you mean 'loss'? (fields: rate, delay, loss, queue, jitter, duplicate, corrupt, reorder, schedule, capacity, reverse) in 'topology.bottleneck'"]),
    "axis_flow_typo": ("  flows.bulk.cc", "  flows.blk.cc", "17:3", ["matrix.flows.blk.cc: unknown name 'blk'; did you mean 'bulk'? (names: bulk, late) in 'flows'"]),
    "axis_too_deep": ("  flows.bulk.cc", "  flows.bulk.cc.name", "17:3", ["matrix.flows.bulk.cc.name: 'flows.bulk.cc' is a single value; it has no field 'name'"]),
    "axis_seed": ("  flows.bulk.cc: [cubic, bbr]", "  seed: [1, 2]", "17:3", ["matrix.seed: 'seed' cannot be varied"]),
    "axis_empty": ("[cubic, bbr]", "[]", "17:18", ["matrix.flows.bulk.cc: found an empty list; expected at least 1"]),
    "axis_not_list": ("[cubic, bbr]", "cubic", "17:18", ["matrix.flows.bulk.cc: found 'cubic'; expected a list, such as [a, b]"]),
    "axis_double": ("[cubic, bbr]", "[cubic, bbr, cubic]", "17:31", ["matrix.flows.bulk.cc[2]: found 'cubic' again; expected each value once"]),
    "axis_same_meaning": ("[0%, 0.1%, 1%]", "[0%, 0.1%, 0.001]", "18:40", ["matrix.topology.bottleneck.loss[2]: found 0.001, which is the same as '0.1%'"]),
    "axis_value_in_mapping": ("topology.bottleneck.loss: [0%, 0.1%, 1%]", "topology.bottleneck.queue: [{limit: 1bdp}, {limt: 1bdp}]", "18:47", ["matrix.topology.bottleneck.queue[1]: unknown field 'limt'; did you mean 'limit'?"]),
    "axis_value_does_not_fit": ("topology.bottleneck.loss: [0%, 0.1%, 1%]", "topology.bottleneck.queue.limit: [1bdp, 1000B]", "18:43", ["matrix.topology.bottleneck.queue.limit[1]: found 1 kB", "less than one packet"]),
    "axis_breaks_another_field": ("topology.bottleneck.loss: [0%, 0.1%, 1%]", "duration: [30s, 5s]", "18:19", ["matrix.duration[1]: with this value, flows.late.duration: found 5 s after a start at 1 s"]),
    "matrix_list": ("  flows.bulk.cc: [cubic, bbr]\n  topology.bottleneck.loss: [0%, 0.1%, 1%]", "  - cubic", "17:3", ["matrix: found a list; expected a mapping"]),
    "too_many_trials": ("repeat: 3", "repeat: 5000", "16:1", ["matrix: found 30000 trials (cells × repetitions); expected at most 10000"]),
    # --- YAML
    "key_twice": ("seed: 1", "name: again", "20:1", ["name: found 'name' twice; it is already in line 1"]),
    "tab": ("  kind:", "\tkind:", "3:1", ["not valid YAML: found a tab; expected spaces"]),
    "bracket": ("[cubic, bbr]", "[cubic, bbr", "18:27", ["not valid YAML: expected ',' or ']', but got ':'; the '[' in line 17, column 18 needs"]),
    "two_documents": ("repeat: 3", "---\nrepeat: 3", "19:1", ["not valid YAML: expected a single document in the stream: but found another document"]),
    "tag": ("name: base", "name: !!python/object/apply:os.system [true]", "1:7", ["name: found the tag 'tag:yaml.org,2002:python/object/apply:os.system'; expected no tags"]),
    "local_tag": ("20mbit", "!rate 20mbit", "7:11", ["topology.bottleneck.rate: found the tag '!rate'"]),
    "merge": ("  bulk: {from", "  bulk: {<<: {}, from", "12:10", ["flows.bulk: found the merge key '<<'"]),
    "key_list": ("seed: 1", "[seed]: 1", "20:1", ["found a list or mapping as a key; expected a name"]),
    "alias_unknown": ("20mbit", "*rate", "7:11", ["not valid YAML: found undefined alias 'rate'"]),
    "infinite": ("seed: 1", "seed: .inf", "20:7", ["seed: found '.inf'; expected a number"]),
    "overflow": ("seed: 1", "seed: 1e999", "20:7", ["seed: found '1e999'; expected a number that a double can hold"]),
    "huge_number": ("seed: 1", "seed: " + "9" * 5000, "20:7", ["seed: found a number of 5000 characters"]),
    "surrogate": ("name: base", 'name: "\\ud800"', "1:7", ["name: found half of a surrogate pair"]),
    "control_character": ("name: base", "name: ba\x07se", "1:9", ["found the character '\\x07', which YAML does not allow"]),
    "directive": ("name: base", "# old\n%YAML 1.1\n---\nname: base", "2:1", ["found the directive '%YAML 1.1'; leave it out"]),
}
# fmt: on

BAD = Path(__file__).with_name("bad")


def _errors(path: Path, overrides: Sequence[str] = ()) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_experiment(path, overrides)
    return str(caught.value).splitlines()


def test_the_base_is_good(tmp_path: Path) -> None:
    path = tmp_path / "base.yaml"
    path.write_text(BASE)
    assert load_experiment(path).experiment.name == "base"


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_one_mistake_is_one_line_with_its_place(tmp_path: Path, edit: Edit) -> None:
    old, new, place, parts = edit
    assert BASE.count(old) == 1
    path = tmp_path / "experiment.yaml"
    path.write_text(BASE.replace(old, new))
    (line,) = _errors(path)
    assert line.startswith(f"{path}:{place}: {parts[0]}")
    for part in parts[1:]:
        assert part in line


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_mistake_of_a_bad_file_is_reported_and_no_other(path: Path) -> None:
    expected = re.findall(r"^# expect (\d+:\d+): (.+)$", path.read_text(), re.MULTILINE)
    assert expected, "the last lines of a bad file must contain the expected messages"
    found = _errors(path)
    assert len(found) == len(expected), "\n".join(found)
    for line, (place, text) in zip(found, expected, strict=True):
        assert line.startswith(f"{path}:{place}: {text}")


# --- the file itself


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "cubic.yaml").write_text(BASE)
    path = tmp_path / "cubik.yaml"
    assert _errors(path) == [f"{path}: there is no such file; did you mean '{tmp_path / 'cubic.yaml'}'?"]


def test_a_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "none" / "x.yaml"
    assert _errors(path) == [f"{path}: there is no such file"]


def test_a_folder(tmp_path: Path) -> None:
    (line,) = _errors(tmp_path)
    assert line.startswith(f"{tmp_path}: this is a directory; expected an experiment file")


def test_a_device() -> None:
    (line,) = _errors(Path("/dev/zero"))
    assert line.startswith("/dev/zero: this is not a regular file; expected an experiment file")


def test_a_path_that_no_file_can_have() -> None:
    (line,) = _errors(Path("a\0b"))
    assert "cannot be read" in line


def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(BASE)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    assert _errors(path) == [f"{path}: cannot be read: Permission denied"]


def test_a_file_too_large(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("#" * (MAX_FILE_BYTES + 1))
    assert _errors(path) == [f"{path}: found more than 128 KiB; expected an experiment file"]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "\ufeff"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert _errors(path) == [f"{path}:1:1: the document is empty"]


@pytest.mark.parametrize("text", ["cubic", "[cubic]", "3", "null"])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    (line,) = _errors(path)
    assert line.startswith(f"{path}:1:1: found ")
    assert line.endswith("expected a mapping, with 'name:' and 'topology:'")


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes("name: x\ntitle: é".encode() + b"\xff")
    assert _errors(path) == [f"{path}:2:9: found byte 0xff; expected text in UTF-8"]


def test_a_byte_order_mark_and_crlf_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode())
    assert load_experiment(path).experiment.seed == 1


# --- files that must not take unlimited time or memory


def test_aliases_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(BASE.replace("rate: 20mbit", "rate: &rate 20mbit") + "title: *rate\n")
    assert load_experiment(path).experiment.title == "20mbit"


def test_a_billion_laughs(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    lines = ["a0: &a0 [ha]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    path.write_text("\n".join(lines))
    assert _errors(path) == [f"{path}:1:1: found more than 50000 values after expanding aliases"]


def test_an_alias_inside_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: &a {x: *a}")
    assert _errors(path) == [f"{path}:1:1: found an alias inside the value that it stands for"]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{a: " * 30_000, "- " * 60_000, "\n".join(" " * i + "a:" for i in range(400))]
)
def test_deep_nesting(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    (line,) = _errors(path)
    assert "nested" in line


def test_a_file_of_mistakes_is_not_reported_without_end(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(BASE + "".join(f"x{number}: 1\n" for number in range(100)))
    lines = _errors(path)
    assert len(lines) == 41
    assert lines[-1] == f"{path}: and 60 more problems"
