# SPDX-License-Identifier: Apache-2.0
"""``lab grade`` with real trials: the shipped assignments, and a class whose submissions do what they can."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.engine.uml.engine import UmlEngine
from lab.engine.vm.engine import VmEngine
from lab.job import kernels
from tests.conftest import ALL_PROCESSORS, FAST, SHARED_PARTS

# Scenarios run on all processors, as they do for a teacher.
pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("all_processors")]

ASSIGNMENTS = Path(__file__).parents[2] / "assignments"
STARTERS = Path(__file__).parents[2] / "lab" / "cc" / "starters"
Lab = Callable[..., Any]

VM = ("aimd", "lossy", "low_delay", "fairness")


def graded(lab: Lab, *arguments: str, **environment: str) -> Any:
    """Grade one submission and return its grade."""
    done = lab("grade", *arguments, "--json", "--quiet", timeout=1500, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(lab: Lab, name: str, tmp_path: Path) -> None:
    """Grade the reference solution and the starter of a shipped assignment."""
    folder = ASSIGNMENTS / name
    manual = folder / "teacher" / "reference.csv"
    by_person = ("--manual", str(manual)) if manual.exists() else ()
    output = ("-o", str(tmp_path / "grades"))
    reference = graded(lab, str(folder), "--reference", *by_person, *output)
    missing = {one["name"]: (one["points"], one["reason"]) for one in reference["criteria"] if one["verdict"] != "full"}
    assert missing == {}
    assert (reference["status"], reference["points"]) == ("graded", reference["most"])
    starter = graded(lab, str(folder), "--starter", *output)
    assert starter["messages"] == []
    assert starter["points"] <= 0.4 * starter["most"]


@pytest.mark.nightly
def test_the_bufferbloat_lab_is_solved_by_its_reference_only(
    lab: Lab, engines: Callable[[str], VmEngine | UmlEngine], tmp_path: Path
) -> None:
    engines(FAST)
    check(lab, "bufferbloat", tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("name", VM)
def test_an_assignment_is_solved_by_its_reference_only(lab: Lab, engine: VmEngine, name: str, tmp_path: Path) -> None:
    assert engine is not None
    check(lab, name, tmp_path)


def _burn() -> None:
    while True:
        pass


@pytest.mark.nightly
def test_the_same_submission_gets_the_same_grade_to_the_byte(lab: Lab, engine: VmEngine, tmp_path: Path) -> None:
    """Graded without the cache, on a template that was built anew, while all processors are busy with other work."""
    assert engine is not None
    arguments = (str(ASSIGNMENTS / "aimd"), "--reference", "--no-cache", "-o")
    graded(lab, *arguments, str(tmp_path / "first"))
    fresh = tmp_path / "cache"
    for part in set(SHARED_PARTS) - {"templates", "checked"}:
        real = Path(os.environ["LAB_CACHE"], part)
        fresh.mkdir(exist_ok=True)
        (fresh / part).symlink_to(real.resolve())
    busy = [multiprocessing.Process(target=_burn, daemon=True) for _ in ALL_PROCESSORS]
    try:
        for one in busy:
            one.start()
        graded(lab, *arguments, str(tmp_path / "second"), LAB_CACHE=str(fresh))
    finally:
        for one in busy:
            one.kill()
    first, second = (tmp_path / name / "students" / "reference" for name in ("first", "second"))
    assert (first / "grade.json").read_bytes() == (second / "grade.json").read_bytes()
    assert (first / "index.html").read_bytes() == (second / "index.html").read_bytes()


ASSIGNMENT = """\
name: tiny
title: A tiny assignment
submission:
  my_cc.bpf.c: {kind: congestion control, may_not_use: [tcp_reno_cong_avoid]}
scenarios:
  alone: alone.yaml
tournament: {file: alone.yaml, first: flows.first.cc, second: flows.second.cc}
rubric:
  goodput: {points: 10, scenario: alone, value: goodput(flow=first), full: 0.3 * link.rate, none: 0bit}
"""
SCENARIO = """\
name: alone
engine: vm
topology: {kind: dumbbell, pairs: 2, bottleneck: {rate: 4mbit, delay: 10ms}}
flows:
  first: {from: s1, to: d1, cc: my_cc.bpf.c}
  second: {from: s2, to: d2, cc: cubic}
duration: 2s
"""

COPY = (STARTERS / "reno.bpf.c").read_text()
PANIC = """\
#include "lab_cc.h"
#undef tcp_cong_avoid_ai
static u32 ssthresh(struct sock *sk) { return 2; }
static void cong_avoid(struct sock *sk, u32 ack, u32 acked) { tcp_cong_avoid_ai(tcp_sk(sk), 0, acked); }
static u32 undo_cwnd(struct sock *sk) { return 2; }
static void init(struct sock *sk) { tcp_sk(sk)->snd_ssthresh = 2; }
LAB_CC("my_panic", init, ssthresh, cong_avoid, undo_cwnd);
"""
ENDLESS = COPY.replace(
    "\tlab_set_cwnd(sk, cwnd);", "\tfor (u32 i = 0; i < cwnd + i + 1; i++)\n\t\tlab_set_cwnd(sk, i);"
)
FLOOD = COPY.replace("\tlab_set_cwnd(sk, cwnd);", '\tfor (u32 i = 0; i < 500; i++)\n\t\tlab_trace(sk, "i", i);')
HIDDEN_CALL = COPY.replace("own->acked += acked;", "JOIN(tcp_reno_, cong_avoid)(sk, ack, acked);").replace(
    '#include "lab_cc.h"', '#include "lab_cc.h"\n#define JOIN(a, b) JOIN_(a, b)\n#define JOIN_(a, b) a##b'
)
NO_WINDOW = COPY.replace("\tlab_set_cwnd(sk, cwnd);", "\ttcp_sk(sk)->snd_cwnd = 0;")
SPIN = COPY.replace(
    "static u32 ssthresh(",
    """\
static long inner(u32 number, void *context) { return 0; }
static long outer(u32 number, void *context) { bpf_loop(1 << 23, inner, context, 0); return 0; }

static u32 ssthresh(""",
    1,
).replace("\tlab_set_cwnd(sk, cwnd);", "\tlab_set_cwnd(sk, cwnd);\n\tbpf_loop(1 << 23, outer, &cwnd, 0);")
BUSY = SPIN.replace("bpf_loop(1 << 23, outer, &cwnd, 0);", "bpf_loop(1 << 23, inner, &cwnd, 0);")
CLASS = {
    "ada": COPY,
    "bob": COPY.replace("acked", "confirmed").replace("own", "mine") + "// my own work\n",
    "no_semicolon": COPY.replace("u32 cwnd = tp->snd_cwnd;", "u32 cwnd = tp->snd_cwnd"),
    "secret": COPY.replace('"lab_cc.h"', '"lab_cc.h"\n#include "/etc/passwd"'),
    "teacher": COPY.replace('"lab_cc.h"', '"lab_cc.h"\n#include "assignment.yaml"'),
    "endless": ENDLESS,
    "panic": PANIC,
    "flood": FLOOD,
    "hidden_call": HIDDEN_CALL,
    "no_window": NO_WINDOW,
}
AT_NIGHT = {"endless", "flood", "no_window"}
"""Submissions that are graded only at night, because each of them takes a trial or a boot of its own."""
MESSAGES = {
    "no_semicolon": "my_cc.bpf.c:",
    "secret": "/etc/passwd",
    "teacher": "found an include of 'assignment.yaml'; expected lab_cc.h",
    "endless": "",
    "panic": "",
    "hidden_call": "found a call of tcp_reno_cong_avoid, which this assignment does not allow",
}


@pytest.fixture
def handed(tmp_path: Path, pytestconfig: pytest.Config) -> Path:
    """An assignment, and the submissions of a class to it."""
    assert len(set(CLASS.values())) == len(CLASS)
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "assignment.yaml").write_text(ASSIGNMENT)
    (folder / "alone.yaml").write_text(SCENARIO)
    (folder / "handout.md").write_text("# Tiny\n")
    shutil.copy(STARTERS / "fixed.bpf.c", folder / "my_cc.bpf.c")
    for name, text in CLASS.items():
        if name in AT_NIGHT and not pytestconfig.getoption("nightly"):
            continue
        (tmp_path / "handed" / name).mkdir(parents=True)
        (tmp_path / "handed" / name / "my_cc.bpf.c").write_text(text)
    return folder


def test_a_class_of_hostile_submissions(lab: Lab, engine: VmEngine, handed: Path, tmp_path: Path) -> None:
    assert engine is not None
    command = ("grade", str(handed), str(tmp_path / "handed"), "-o", str(tmp_path / "out"), "--json")
    done = lab(*command, timeout=900)
    assert done.returncode == 0, done.stderr
    grades = {one["submission"]["name"]: one for one in json.loads(done.stdout)}
    assert grades.keys() == {folder.name for folder in (tmp_path / "handed").iterdir()}
    assert grades["ada"]["points"] == grades["bob"]["points"] == 10
    for name, message in MESSAGES.items():
        if name not in grades:
            continue
        assert grades[name]["points"] == 0, name
        assert any(message in one["text"] for one in grades[name]["messages"]), (name, grades[name]["messages"])
    assert "root:" not in done.stdout + done.stderr
    panic = " ".join(one["text"] for one in grades["panic"]["messages"])
    assert "panic" in panic.lower() or "Oops" in panic
    # The copy is found whatever its names are called; each student sees only the own page.
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<td>ada</td><td>bob</td>" in page
    own = (tmp_path / "out" / "students" / "ada" / "index.html").read_text()
    assert "bob" not in own
    assert kernels.DEFAULT not in own or "panic" not in own
    # A second time, nothing runs: what is final is kept.
    again = lab(*command, timeout=300)
    assert {one["submission"]["name"]: one for one in json.loads(again.stdout)} == grades


@pytest.mark.nightly
def test_what_takes_all_the_time_of_the_guest_costs_only_its_own(
    lab: Lab, engine: VmEngine, handed: Path, tmp_path: Path
) -> None:
    assert engine is not None
    (handed / "assignment.yaml").write_text(f"{ASSIGNMENT}limits: {{scenario: 60s}}\n")
    for name in CLASS.keys() - {"ada"}:
        shutil.rmtree(tmp_path / "handed" / name)
    for name, text in {"busy": BUSY, "spin": SPIN}.items():
        (tmp_path / "handed" / name).mkdir()
        (tmp_path / "handed" / name / "my_cc.bpf.c").write_text(text)
    began = time.monotonic()
    done = lab("grade", str(handed), str(tmp_path / "handed"), "-o", str(tmp_path / "out"), "--json", timeout=900)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 240
    grades = {one["submission"]["name"]: one for one in json.loads(done.stdout)}
    assert (grades["ada"]["points"], grades["spin"]["points"]) == (10, 0)
    # Each ACK costs the guest virtual time, so that little arrives.
    assert grades["busy"]["points"] < 5
    assert "did not end within 60 s" in " ".join(one["text"] for one in grades["spin"]["messages"])


@pytest.mark.nightly
def test_a_tournament(lab: Lab, engine: VmEngine, handed: Path, tmp_path: Path) -> None:
    assert engine is not None
    for name in CLASS.keys() - {"ada", "panic"}:
        shutil.rmtree(tmp_path / "handed" / name)
    done = lab("grade", str(handed), str(tmp_path / "handed"), "-o", str(tmp_path / "out"), "--tournament", timeout=900)
    assert done.returncode == 0, done.stderr
    assert "Tournament, the fairest first" in done.stderr
    duels = json.loads((tmp_path / "out" / "tournament.json").read_text())["duels"]
    found = {(one["first"], one["second"]): one for one in duels}
    pairs = {"ada": ("ada", "panic", "cubic"), "panic": ("panic", "cubic")}
    assert found.keys() == {(first, second) for first, others in pairs.items() for second in others}
    assert found["ada", "ada"]["jain"] is not None
    assert found["ada", "cubic"]["utilisation"] > 0.5
    assert all(found[pair]["message"] and found[pair]["jain"] is None for pair in found if "panic" in pair)
    assert (tmp_path / "out" / "tournament.html").exists()
