# SPDX-License-Identifier: Apache-2.0
"""``lab_cc.h``: what it calculates, what clang says about mistakes, and the starters, compiled for real."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.cc.compiler import INCLUDE, find_clang
from lab.cc.explain import explain
from tests.mistakes import COMPILER, FOLDER, STARTERS, Mistake, compiled, mistakes

U32, U64 = 2**32 - 1, 2**64 - 1


# ---- Arithmetic ------------------------------------------------------------------------------------------------------


class Filter(ctypes.Structure):
    _fields_ = (("samples", ctypes.c_uint32 * 6),)


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The header's functions, compiled for this machine's processor."""
    library = tmp_path_factory.mktemp("header") / "arithmetic.so"
    # What makes CO-RE relocations exists for BPF only; an attribute without a meaning and a number stand in its place.
    core = ('-Dpreserve_access_index=annotate("")', "-D__builtin_preserve_field_info(...)=1")
    host = ("-shared", "-fPIC", "-O2", "-I", str(INCLUDE), *core)
    command = [find_clang(), *host, "-o", str(library), str(Path(__file__).with_name("arithmetic.c"))]
    subprocess.run(command, check=True)
    loaded = ctypes.CDLL(str(library))
    for name, result, arguments in (
        ("cube_root", ctypes.c_uint32, (ctypes.c_uint64,)),
        ("divide", ctypes.c_int64, (ctypes.c_int64, ctypes.c_int64)),
        ("is_before", ctypes.c_bool, (ctypes.c_uint32, ctypes.c_uint32)),
        ("is_after", ctypes.c_bool, (ctypes.c_uint32, ctypes.c_uint32)),
        ("limited", ctypes.c_uint32, (ctypes.c_uint32,) * 3),
    ):
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    for name in ("running_max", "running_min", "reset", "once"):
        getattr(loaded, name).restype = ctypes.c_uint32
    return loaded


@given(
    st.integers(0, U64)
    | st.integers(0, 2**21).map(lambda root: root**3)
    | st.integers(1, 2**21).map(lambda r: r**3 - 1)
)
def test_cube_roots_are_exact(header: Any, value: int) -> None:
    root = header.cube_root(value)
    assert root**3 <= value < (root + 1) ** 3


S64 = st.integers(-(2**63), 2**63 - 1)


@given(S64, S64 | st.integers(-3, 3))
def test_signed_division_rounds_towards_zero(header: Any, dividend: int, divisor: int) -> None:
    found = header.divide(dividend, divisor)
    if divisor == 0:
        assert found == 0
        return
    exact = abs(dividend) // abs(divisor) * (1 if (dividend < 0) == (divisor < 0) else -1)
    assert found == ctypes.c_int64(exact).value


@given(st.integers(0, U32), st.integers(0, 2**31 - 1))
def test_sequence_numbers_are_compared_across_the_wrap(header: Any, first: int, distance: int) -> None:
    later = (first + distance) & U32
    assert header.is_after(later, first) == header.is_before(first, later) == (distance > 0)
    assert not header.is_before(later, first)


def test_macros_evaluate_their_arguments_once(header: Any) -> None:
    calls = ctypes.c_uint32(0)
    assert [header.once(ctypes.byref(calls)) for _ in range(7)] == [2, 2, 3, 4, 5, 5, 5]
    assert header.limited(1, 2, 9) == 2
    assert header.limited(10, 2, 9) == 9
    assert header.limited(4, 2, 9) == 4


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1000)), min_size=1, max_size=200), st.integers(1, 100))
def test_a_filter_has_the_best_value_of_its_window(header: Any, steps: list[tuple[int, int]], window: int) -> None:
    """Compared with all values: one of the window, not worse than the newest quarter's best, and never too old."""
    highest, lowest = Filter(), Filter()
    header.reset(ctypes.byref(lowest), 0, U32)
    time, seen = 0, []
    for step, value in steps:
        time += step
        seen.append((time, value))
        top = header.running_max(ctypes.byref(highest), window, time, value)
        bottom = header.running_min(ctypes.byref(lowest), window, time, value)
        inside = [one for at, one in seen if time - at <= window]
        assert top in inside
        assert bottom in inside
        assert value <= top <= max(inside)
        assert min(inside) <= bottom <= value


def test_a_filter_forgets_after_its_window(header: Any) -> None:
    highest = Filter()
    found = [header.running_max(ctypes.byref(highest), 10, time, 1000 if time == 5 else 10) for time in range(30)]
    assert found == [10] * 5 + [1000] * 11 + [10] * 14


# ---- Compiling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("starter", STARTERS, ids=lambda path: path.name.removesuffix(".bpf.c"))
def test_starters_compile_without_a_warning(starter: Path, tmp_path: Path) -> None:
    done = compiled(starter, tmp_path / "object")
    assert (done.returncode, done.stderr) == (0, "")


def test_starters_have_names_of_their_own() -> None:
    names = [re.findall(r'^LAB_CC\("(\w+)"', path.read_text(), re.MULTILINE) for path in STARTERS]
    assert [found for (found,) in names] == [f"my_{path.name.removesuffix('.bpf.c')}" for path in STARTERS]
    assert len(STARTERS) == 5


def test_the_name_can_be_set_from_outside(tmp_path: Path) -> None:
    output = tmp_path / "object"
    assert compiled(STARTERS[0], output, '-DLAB_CC_NAME="other"').returncode == 0
    assert b"other\0" in output.read_bytes()
    assert b"my_cubic\0\0" not in output.read_bytes()


COMPILED = [one for one in mistakes().values() if one.who in COMPILER]


@pytest.mark.parametrize("mistake", COMPILED, ids=lambda one: one.name)
def test_clang_refuses_mistakes_at_their_line(mistake: Mistake, tmp_path: Path) -> None:
    done = compiled(FOLDER / mistake.file, tmp_path / "object")
    assert (done.returncode == 0) == (mistake.who == "warning"), done.stderr
    mistake.check(done.stderr)


@pytest.mark.parametrize(
    "mistake", [one for one in mistakes().values() if one.who not in COMPILER], ids=lambda one: one.name
)
def test_clang_accepts_what_only_the_kernel_refuses(mistake: Mistake, tmp_path: Path) -> None:
    done = compiled(FOLDER / mistake.file, tmp_path / "object")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_function_that_is_not_named_in_lab_cc_gives_a_warning(tmp_path: Path) -> None:
    source = tmp_path / "a.bpf.c"
    unused = "static void init(struct sock *sk)\n{\n\tlab_set_cwnd(sk, 2);\n}\n\nLAB_CC("
    source.write_text(mistakes()["name_is_taken"].text.replace("LAB_CC(", unused))
    done = compiled(source, tmp_path / "object")
    assert "warning: unused function 'init'" in done.stderr
    assert "'release'" not in done.stderr


def test_what_clang_explains_itself_is_left_to_it(tmp_path: Path) -> None:
    mistake = mistakes()["semicolon_missing"]
    done = compiled(FOLDER / mistake.file, tmp_path / "object")
    assert explain(done.stderr, {mistake.file: mistake.text}) is None
