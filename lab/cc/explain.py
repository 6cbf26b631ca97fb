# SPDX-License-Identifier: Apache-2.0
"""Say in plain words why a congestion control was refused, and which line of its source is the reason.

Three programs may refuse one: clang, which compiles it; libbpf, which fits the object to the running kernel; and the
kernel's verifier, which follows every way through the program before it may run.  What they say is meant for people who
know them.  This module adds what a student needs to know.  It reads no files and runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lab.cc.said import HEADER, Place, Said

__all__ = ["Explanation", "Place", "explain"]

_WRITABLE = (
    "An algorithm can write snd_cwnd, snd_cwnd_cnt, snd_ssthresh, sk_pacing_rate, sk_pacing_status and its own "
    "104 bytes"
)
_MOST_COLUMNS = 200
"""How much of a line of the source is shown."""


@dataclass(frozen=True)
class Explanation:
    """Why an algorithm was refused."""

    reason: str
    """One or more sentences that end with a full stop."""
    place: Place | None = None
    """Where in the source the reason is; None if nobody has said it."""

    def __str__(self) -> str:
        """``FILE:LINE: REASON`` and, in a second line, the text of that line, in characters that can be printed."""
        if self.place is None:
            return _printable(self.reason)
        return f"{_printable(f'{self.place}: {self.reason}')}\n    {_printable(self.place.text)[:_MOST_COLUMNS]}"


def _printable(text: str) -> str:
    # A source, and so a log that quotes it, may contain anything, and this is printed on terminals.
    return "".join(letter if letter.isprintable() else " " if letter == "\t" else "�" for letter in text)


def explain(said: str, sources: Mapping[str, str]) -> Explanation | None:
    """Explain what clang, libbpf or the verifier has said about an algorithm that it refused.

    Args:
        said: Everything that was said: clang's messages; or libbpf's warnings, the verifier's log, and the error with
            which the kernel refused to register the algorithm, in any order.
        sources: Path relative to the folder of the source → text, of the source and of its own headers.  Without them,
            the lines are known only if the kernel names them (since Linux 6.10).

    Returns:
        The explanation; None if nothing is known that would add to what was said.
    """
    log = Said(said, sources)
    for rule in _RULES:
        found = re.search(rule.pattern, said)
        if found is not None:
            reason = rule.reason if isinstance(rule.reason, str) else rule.reason(found, log)
            return Explanation(reason, rule.place(found, log))
    last = log.last_words()
    if last is None:
        return None
    return Explanation(f"The kernel's verifier refuses the program: {last}.", log.place())


_Reason = str | Callable[[re.Match[str], Said], str]
_Where = Callable[[re.Match[str], Said], Place | None]


def _at_the_end_of_the_log(_found: re.Match[str], log: Said) -> Place | None:
    return log.place()


def _at_the_compilers_error(_found: re.Match[str], log: Said) -> Place | None:
    return log.place_for_compiler()


def _at_the_word(found: re.Match[str], log: Said) -> Place | None:
    return log.place_of_word(found[1])


def _at_the_instruction(found: re.Match[str], log: Said) -> Place | None:
    return log.place_of_instruction(int(found[1]))


def _at_lab_cc(_found: re.Match[str], log: Said) -> Place | None:
    return log.place_of_word("LAB_CC")


def _at_the_only_loop(_found: re.Match[str], log: Said) -> Place | None:
    loops = log.loops()
    return loops[0] if len(loops) == 1 else None


def _nowhere(_found: re.Match[str], _log: Said) -> Place | None:
    return None


@dataclass(frozen=True)
class _Rule:
    pattern: str
    reason: _Reason
    place: _Where = _at_the_end_of_the_log


def _read_only(_found: re.Match[str], log: Said) -> str:
    place = log.place()
    written = place and re.search(r"->\s*(\w+)\s*(?:(?:[-+*/|&^]|<<|>>)?=(?!=)|\+\+|--)", place.text)
    if not written:
        return (
            "This writes to memory that belongs to the kernel: a field that can only be read, or memory behind the "
            f"algorithm's own 104 bytes (inet_csk_ca). {_WRITABLE}."
        )
    return f"The field {written[1]} belongs to the kernel and can only be read. {_WRITABLE}."


def _too_large(_found: re.Match[str], log: Said) -> str:
    loops = log.loops()
    if not loops:
        many = "There are too many branches behind one another"
    elif len(loops) == 1:
        many = f"The loop at line {loops[0].lines[0]} has no bound that the verifier can see, or too high a one"
    else:
        listed = ", ".join(str(place) for place in loops)
        many = f"One of the loops ({listed}) has no bound that the verifier can see, or too high a one"
    return (
        f"The verifier gave up after a million instructions. {many}. Give loops a small fixed limit: "
        "for (int i = 0; i < 100 && …; i++)."
    )


def _loop(_found: re.Match[str], log: Said) -> str:
    place = log.place()
    which = f"The loop at line {place.lines[0]}" if place is not None else "A loop"
    return (
        f"{which} has no bound that the verifier can see: nothing in it counts towards an end. Give it a fixed limit: "
        "for (int i = 0; i < 100 && …; i++)."
    )


def _field_missing(found: re.Match[str], _log: Said) -> str:
    structure, _, field = found[1].partition(".")
    return f"This kernel's struct {structure.partition('___')[0]} has no field {field}."


_POINTER_IS_NUMBER = (
    "This is used as a pointer, but to the verifier it is only a number: a pointer that was stored and read again, "
    "NULL, or the result of arithmetic. Get the pointer anew: tcp_sk(sk), lab_private(), or a look-up in a map."
)
_INDEX = (
    "As far as the verifier can tell, the index of this array may lie outside of it. It does not understand `i % 100`, "
    "and a signed index may be negative. Use an unsigned index, and a mask with a power of two, `a[i & 127]`, or "
    "`barrier_var(i); if (i < 100)` in front of it."
)
_STACK = (
    "The local variables take more than 512 bytes, together with those of called functions. Make large arrays global, "
    "or keep them in a map of type BPF_MAP_TYPE_SK_STORAGE."
)

_COMPILER_RULES = (
    _Rule(
        r"built-in function '__\w*[sd]f\w*'|'__\w+[sd]f\d?\w*' is not supported",
        "The kernel has no floating-point numbers. Write fractions as quotients, and multiply first: cwnd * 7 / 10.",
        _at_the_compilers_error,
    ),
    _Rule(
        r"(?i)unsupport(?:ed)? signed division",
        "BPF cannot divide signed numbers. Divide unsigned ones, or call lab_div_s64().",
        _at_the_compilers_error,
    ),
    _Rule(r"BPF stack limit", _STACK, _nowhere),
    _Rule(
        r"function '(\w+)' has internal linkage but is not defined",
        lambda found, _log: f"LAB_CC names {found[1]}, but the file does not define this function.",
        _at_the_compilers_error,
    ),
    _Rule(
        r"no member named '(\w+)' in '(?:struct )?tcp_congestion_ops'",
        lambda found, _log: (
            f"LAB_CC names {found[1]}, which the kernel does not call. It calls ssthresh, cong_avoid, cong_control, "
            "undo_cwnd, init, release, pkts_acked, set_state, cwnd_event, in_ack_event, min_tso_segs and sndbuf_expand."
        ),
        _at_the_compilers_error,
    ),
    _Rule(
        r"no member named '(icsk_ca_state|is_cwnd_limited)'",
        "Bit-fields of the kernel cannot be read directly. Call tcp_ca_state(sk) or tcp_is_cwnd_limited(sk).",
        _at_the_compilers_error,
    ),
    _Rule(
        r"conflicting types for '(\w+)'",
        lambda found, _log: (
            f"The kernel, or lab_cc.h, declares {found[1]} with other arguments or another result. The note below the "
            "error shows the declaration."
        ),
        _at_the_compilers_error,
    ),
    _Rule(
        r"'([^']+)' file not found",
        f"Only {HEADER}, which has the kernel's types, and headers of your own next to the file can be included.",
        _at_the_compilers_error,
    ),
    _Rule(
        r"(?:implicit declaration of|undeclared) function '(\w+)'",
        lambda found, _log: (
            f"There is no function {found[1]} in {HEADER} or above this line. An algorithm cannot call any function "
            "of the kernel, only those that the kernel offers to it."
        ),
        _at_the_compilers_error,
    ),
    _Rule(
        r"(?s)expected '\)'.*expanded from macro 'lab_trace'",
        'The name of a value that is traced has to be a text in quotes: lab_trace(sk, "queued", queued).',
        _at_the_compilers_error,
    ),
    _Rule(
        r"cannot assign to variable '\w+' with const-qualified type 'const struct (\w+)",
        lambda found, _log: f"A struct {found[1]} belongs to the kernel and can only be read.",
        _at_the_compilers_error,
    ),
)

_LIBBPF_RULES = (
    _Rule(
        r"failed to find BTF for extern '(\w+)'",
        lambda found, _log: f"The function {found[1]} is declared, but nowhere defined.",
        _at_the_word,
    ),
    _Rule(
        r"extern \(func ksym\) '(\w+)': not found",
        lambda found, _log: f"This kernel offers no function {found[1]} to algorithms.",
        _at_the_word,
    ),
    _Rule(
        r"extern \(func ksym\) '(\w+)': func_proto .* incompatible with",
        lambda found, _log: f"This kernel's function {found[1]} has other arguments or another result.",
        _at_the_word,
    ),
    _Rule(r"failed to resolve CO-RE relocation .*?struct (\w+\.\w+)", _field_missing),
)

_VERIFIER_RULES = (
    _Rule(
        r"invalid mem access '(?:map_value|mem|ringbuf_mem|ptr|rdonly_mem)\w*_or_null'",
        "The result of a look-up may be NULL, because there may be nothing to find. Check it first: "
        "if (!found) return;",
    ),
    # Since Linux 7.3, the kernel also says of such a write that it cannot write there.
    _Rule(r"beyond the member of \w+ ended at|access beyond \w+ at off", "This writes more bytes than the field has."),
    _Rule(r"no write support to \w+ at off|cannot write into \w+ at off", _read_only),
    _Rule(r"only read is supported", _read_only),
    _Rule(r"infinite loop detected", _loop),
    _Rule(
        r"the call stack of \d+ frames is too deep|back-edge from insn|recursive call from",
        "A function calls itself, directly or through another one. Use a loop with a fixed limit instead.",
        lambda _found, log: log.place() or log.place_of_recursion(),
    ),
    _Rule(
        r"BPF program is too large|program is too complex|too many jumps|sequence of \d+ jumps",
        _too_large,
        _at_the_only_loop,
    ),
    _Rule(
        r"invalid variable offset|variable \w+ access var_off|ptr_\w+ access var_off",
        "An array in lab_private(), or in a structure of the kernel, can only be indexed by constants. Keep it in a "
        "global variable, or in a map of type BPF_MAP_TYPE_SK_STORAGE.",
    ),
    _Rule(
        r"unbounded memory access|invalid access to map value|(?:min|max) value is (?:outside|negative)|"
        r"unbounded min value|value -?\d+ makes map_value pointer",
        _INDEX,
    ),
    _Rule(r"invalid mem access '(?:scalar|inv)'|dereference of modified|R\d+ !read_ok", _POINTER_IS_NUMBER),
    _Rule(r"combined stack size|invalid write to stack|stack depth \d+ exceeds|stack limit", _STACK, _nowhere),
    _Rule(
        r"calling kernel function (\w+) is not allowed",
        lambda found, _log: (
            f"The kernel has a function {found[1]}, but algorithms may not call it. They may call those of {HEADER}, "
            "and the functions of the kernel's own algorithms cubic, dctcp and bbr."
        ),
    ),
    _Rule(
        r"(?:cannot use helper|unknown func) (?:bpf_)?(\w+)#",
        lambda found, _log: f"Algorithms may not call the BPF helper bpf_{found[1]}, or not in this function.",
    ),
    _Rule(
        r"Unreleased reference id=\d+ alloc_insn=(\d+)",
        "What is reserved or acquired here has to be given back on every way to the end of the function, as "
        "bpf_ringbuf_submit() does it.",
        _at_the_instruction,
    ),
    _Rule(
        r"unknown opcode 8d",
        "A function is called through a pointer, which BPF cannot do. Call functions by their names, and choose with "
        "if or switch.",
        _nowhere,
    ),
    _Rule(
        r"unknown opcode|uses reserved fields",
        "The compiler has used an instruction that this kernel does not know.",
    ),
)

_REGISTER_RULES = (
    _Rule(
        r"File exists",
        "The kernel has an algorithm of this name already. Choose another name in LAB_CC.",
        _at_lab_cc,
    ),
    _Rule(
        r"(?i)regist\w+.*Invalid argument",
        "The kernel does not accept the name of the algorithm. Use up to 15 letters, digits and _ in LAB_CC.",
        _at_lab_cc,
    ),
)

_RULES = (*_COMPILER_RULES, *_LIBBPF_RULES, *_VERIFIER_RULES, *_REGISTER_RULES)
"""The first rule whose pattern is found counts."""
