# SPDX-License-Identifier: Apache-2.0
"""Load the collectors' BPF programs: bcc compiles them and creates their maps, libbpf loads them into the kernel.

Programs are attached through the kernel's type information (BTF): to tracepoints, whose arguments they get as typed
pointers, and to functions through fentry and fexit.  This needs neither tracefs nor kprobes, and the messages of the
verifier are available for error messages.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import struct
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.agent.collectors.btf import KernelTypes, TypesError, libbpf
from lab.agent.collectors.kernel_macros import kernel_macros
from lab.agent.collectors.loader import LoaderError
from lab.agent.collectors.registry import PLACES, PRIVATE_TYPES, RECORDERS, Hook
from lab.job.protocol import Field

_PAGE = 4096
_HEADERS = "collectors.h"
_LOG_BYTES = 1 << 20
WHICH_PROGRAM = 0x77686963685F7072
"""What the code of a program that is loaded twice contains in place of 0 (the first program) or 1 (the second)."""
_INSTRUCTION = struct.Struct("<BBhI")
"""A BPF instruction: operation, registers, offset, constant (Documentation/bpf/standardization/instruction-set.rst)."""
_LOAD_CONSTANT = 0x18
"""The operation of the first of the two instructions that load a constant of 64 bits."""
_PROGRAM_TYPE_SCHED_CLS = 3
_PROGRAM_TYPE_TRACING = 26
_ATTACH_TYPES = {"tracepoint": 23, "function": 24, "return": 25}  # BPF_TRACE_RAW_TP, _FENTRY, _FEXIT


class _LoadOptions(ctypes.Structure):
    """``struct bpf_prog_load_opts`` of libbpf 1.0; later versions of libbpf read only the first ``size`` bytes."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("attempts", ctypes.c_int),
        ("expected_attach_type", ctypes.c_int),
        ("prog_btf_fd", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_ifindex", ctypes.c_uint32),
        ("kern_version", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
        ("attach_prog_fd", ctypes.c_uint32),
        ("attach_btf_obj_fd", ctypes.c_uint32),
        ("fd_array", ctypes.c_void_p),
        ("func_info", ctypes.c_void_p),
        ("func_info_cnt", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("line_info", ctypes.c_void_p),
        ("line_info_cnt", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_void_p),
    )


class BccPrograms:
    """The BPF programs of several collectors, compiled as one bcc module so that its headers are parsed only once.

    Implements :class:`~lab.agent.collectors.loader.Programs`.
    """

    def __init__(self, sources: Path, collectors: Sequence[str], types: KernelTypes | None = None) -> None:
        """Compile ``collectors`` from ``sources/<collector>.bpf.c`` and load them into the kernel, which verifies them.

        Raises:
            LoaderError: A program cannot be compiled, or the kernel does not accept it.
        """
        try:
            self._types = types or KernelTypes(PRIVATE_TYPES)
            self._bpf = compile_programs(sources, _files(collectors), self._types)
        except TypesError as exc:
            raise LoaderError(str(exc)) from exc
        self._loaded: dict[str, list[tuple[Hook, int | LoaderError]]] = {}
        self._links: dict[str, list[int]] = {name: [] for name in collectors}
        self._classifiers: dict[str, int] = {}
        for name in collectors:
            self._loaded[name] = list(self._load(name))

    @property
    def warnings(self) -> str:
        """What the compiler warned of; empty for programs as they should be."""
        return str(self._bpf.warnings)

    def attach(self, collector: str, options: Collection[str] = ()) -> None:
        for hook, program in sorted(self._loaded[collector], key=_attached_when):
            if hook.option is None or hook.option in options:
                if isinstance(program, LoaderError):
                    self.detach(collector)
                    raise program
                link = libbpf().bpf_raw_tracepoint_open(None, program)
                if link < 0:
                    self.detach(collector)
                    raise LoaderError(
                        f"the collector {collector} cannot be attached to the {_place(hook)}: {os.strerror(-link)}"
                    )
                self._links[collector].append(link)

    def detach(self, collector: str) -> None:
        while self._links[collector]:
            os.close(self._links[collector].pop())

    def write(self, table: str, values: dict[str, Any]) -> None:
        entry = self._bpf[table].Leaf()
        for name, value in values.items():
            if isinstance(value, (tuple, list)):
                value = type(getattr(entry, name))(*value)
            setattr(entry, name, value)
        self._bpf[table][ctypes.c_int(0)] = entry

    def table(self, name: str) -> Any:
        return self._bpf[name]

    def take(self, table: str, key: Any) -> Any:
        found = self._bpf[table]
        leaf = found.Leaf()
        # Up to Linux 5.13, this does not exist for hash maps.
        failed = libbpf().bpf_map_lookup_and_delete_elem(found.map_fd, ctypes.byref(key), ctypes.byref(leaf))
        return None if failed else leaf

    def clear(self, collector: str) -> None:
        for name in RECORDERS[collector].memory:
            self._bpf[name].clear()

    def enumerators(self, enum: str) -> dict[int, str]:
        return self._types.enumerators(enum)

    def lost(self, collector: str) -> int:
        without_room = int(self._bpf[f"{collector}_lost"][ctypes.c_int(0)].value)
        return without_room + self._missed(collector, are_samples=False)

    def missed_samples(self, collector: str) -> int:
        return self._missed(collector, are_samples=True)

    def _missed(self, collector: str, *, are_samples: bool) -> int:
        missed = sum(
            _misses(program)
            for hook, program in self._loaded[collector]
            if isinstance(program, int) and hook.is_sample == are_samples and not hook.is_second
        )
        if not are_samples:
            # The kernel counts a miss of the first program even if the second program then recorded the event.  Misses
            # of a second program (not counted above) are no losses: the first program has recorded those events.
            missed -= sum(self._nested(hook) for hook in RECORDERS[collector].hooks if hook.is_interruptible)
        return max(0, missed)

    def _nested(self, hook: Hook) -> int:
        """Return how often the second program of *hook* recorded an event that the first one missed."""
        return int(self._bpf["places_nested"].sum(ctypes.c_int(PLACES.index(hook.program))).value)

    def classifier(self, name: str) -> int:
        """Return the file descriptor of a program for ``tc``, which is loaded into the kernel when first asked for.

        Raises:
            LoaderError: The kernel does not accept the program.
        """
        if name not in self._classifiers:
            try:
                self._classifiers[name] = int(self._bpf.load_func(name, _PROGRAM_TYPE_SCHED_CLS).fd)
            except Exception as exc:  # bcc raises bare Exception
                raise LoaderError(f"the kernel rejects the BPF program {name} for tc: {exc}") from exc
        return self._classifiers[name]

    def ring(self, collector: str) -> tuple[int, int]:
        return int(self._bpf[f"{collector}_events"].map_fd), RECORDERS[collector].ring_bytes

    def layout(self, collector: str) -> tuple[int, list[Field]]:
        table = self._bpf[f"{collector}_events"]
        # bcc generates this ctypes class from the debug information of the C struct.
        event = type(table.event(ctypes.cast(ctypes.create_string_buffer(4096), ctypes.c_void_p)))
        fields: list[Field] = []
        for name, kind in event._fields_:
            fields.append({"name": name, "type": _numpy_type(kind), "offset": getattr(event, name).offset})
        return ctypes.sizeof(event), fields

    def _load(self, collector: str) -> Iterator[tuple[Hook, int | LoaderError]]:
        for hook in (hook for declared in RECORDERS[collector].hooks for hook in declared.programs):
            try:
                found = find_hook(self._types, hook)
                if found is None:
                    raise LoaderError(f"the collector {collector} cannot run: this kernel has no {_place(hook)}")
                yield found[0], self._program(*found)
            except LoaderError as exc:
                if hook.required and hook.option is None:
                    raise
                if hook.required:
                    yield hook, exc  # attach() raises this error when the option is asked for.

    def _program(self, hook: Hook, place: int) -> int:
        from bcc.libbcc import lib as libbcc

        name = hook.program.encode()
        log = ctypes.create_string_buffer(_LOG_BYTES)
        options = _LoadOptions(
            size=ctypes.sizeof(_LoadOptions), expected_attach_type=_ATTACH_TYPES[hook.kind], attach_btf_id=place
        )
        load = libbpf().bpf_prog_load
        load.argtypes = (
            *(ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p),
            *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p),
        )

        module = self._bpf.module
        code = ctypes.string_at(libbcc.bpf_function_start(module, name), libbcc.bpf_function_size(module, name))
        if hook.is_interruptible:
            code = told_which(code, int(hook.is_second))

        def attempt() -> int:
            count = len(code) // _INSTRUCTION.size
            return int(load(_PROGRAM_TYPE_TRACING, name[:15], b"GPL", code, count, ctypes.byref(options)))

        program = attempt()
        if program < 0:
            # Load again with the verifier's log switched on.  The log takes time, so the first attempt is without it.
            options.log_level, options.log_size, options.log_buf = 1, _LOG_BYTES, ctypes.addressof(log)
            program = attempt()
        if program < 0:
            raise LoaderError(
                f"the kernel rejects the BPF program {hook.program} for the {_place(hook)}: {_why(hook, -program)}"
                f"\n{log.value.decode(errors='replace')}".rstrip()
            )
        return program


def told_which(code: bytes, which: int) -> bytes:
    """Return the code of a program of ``interrupted.bpf.c`` that knows whether it is the first (0) or the second (1).

    Raises:
        LoaderError: The code does not ask which one it is.
    """
    instructions = list(_INSTRUCTION.iter_unpack(code))
    asks = [
        place
        for place, (first, second) in enumerate(itertools.pairwise(instructions))
        if first[0] == _LOAD_CONSTANT and (first[3] | second[3] << 32) == WHICH_PROGRAM
    ]
    if not asks:
        raise LoaderError("a BPF program that is to be loaded twice does not ask whether it is the first or the second")
    for place in asks:
        for part, value in ((place, which), (place + 1, 0)):
            instructions[part] = (*instructions[part][:3], value)
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)


def _files(collectors: Sequence[str]) -> list[str]:
    """Return the source files of *collectors* and of those that they follow, in the order of compilation."""
    files = [file for name in collectors for file in (*RECORDERS[name].follows, name)]
    return list(dict.fromkeys(["interrupted", *files]))


def compile_programs(sources: Path, programs: Sequence[str], types: KernelTypes) -> Any:
    """Compile ``sources/<program>.bpf.c`` of all *programs* into one bcc module, without loading its functions.

    The attribute ``warnings`` of the module contains the warnings of the compiler.

    Raises:
        LoaderError: bcc is not installed or cannot compile the programs.
    """
    # bcc insists on kernel headers.  The programs do not use any, so stand-ins are enough (bpf/kernel/README.md).
    os.environ["BCC_KERNEL_SOURCE"] = str(sources / "kernel")
    # bcc is imported only here because the import is slow and because this module must also work, up to this error
    # message, on hosts without bcc.
    try:
        from bcc import BPF
    except ImportError as exc:
        raise LoaderError(f"bcc is not installed; install the package python3-bpfcc ({exc})") from exc

    class Module(BPF):  # type: ignore[misc]
        def _trace_autoload(self) -> None:
            """Do nothing, where bcc's own method would attach programs by the prefix of their names."""

    headers = "".join(path.read_text(encoding="utf-8") for path in sorted(sources.glob("*.h")))
    text = "".join((sources / f"{name}.bpf.c").read_text(encoding="utf-8") for name in programs)
    # fmt: off
    flags = [
        f"-I{sources}", "-Wall", "-Wextra",
        # bcc optimizes the code itself, and the kernel is given no debug information: without clang's optimization and
        # debug information, compiling takes about 60 % of the time.
        "-Xclang", "-disable-llvm-passes", "-g0",
        f"-DWHICH_PROGRAM=\"{WHICH_PROGRAM:#x}\"",
        *(
            f"-D{name.upper()}_RING_PAGES={RECORDERS[name].ring_bytes // _PAGE}"
            for name in programs if name in RECORDERS
        ),
        f"-DPLACES={len(PLACES)}", *(f"-DPLACE_{program}={number}" for number, program in enumerate(PLACES)),
    ]
    # fmt: on
    macros = kernel_macros(headers + text, types)
    with _captured_stderr() as captured:
        try:
            module = Module(text=f'{macros}#include "{_HEADERS}"\n{text}'.encode(), cflags=flags)
        except Exception as exc:  # bcc raises bare Exception
            raise LoaderError(f"bcc cannot compile {', '.join(programs)}: {exc}\n{captured()}".strip()) from exc
        module.warnings = captured()
    return module


class _ProgramInfo(ctypes.Structure):
    """The beginning of ``struct bpf_prog_info`` (include/uapi/linux/bpf.h), up to the field that is read."""

    _fields_ = (("before", ctypes.c_uint8 * 208), ("recursion_misses", ctypes.c_uint64))


def _misses(program: int) -> int:
    """Return how often the kernel skipped the program because an interrupt arrived while the program was running.

    The kernel counts this since 5.12.
    """
    info = _ProgramInfo()
    size = ctypes.c_uint32(ctypes.sizeof(info))
    if libbpf().bpf_obj_get_info_by_fd(program, ctypes.byref(info), ctypes.byref(size)) != 0:
        return 0
    return int(info.recursion_misses)


def _attached_when(loaded: tuple[Hook, object]) -> int:
    """Return a sort key that puts hooks in the order in which they must be attached.

    The second program of a hook must run after the first one.  At tracepoints the kernel runs programs in the order in
    which they were attached (tracepoint.c, func_add()), at functions in the reverse order (trampoline.c,
    __bpf_trampoline_link_prog()).
    """
    hook, _program = loaded
    return int(hook.is_second if hook.kind == "tracepoint" else not hook.is_second)


def find_hook(types: KernelTypes, hook: Hook) -> tuple[Hook, int] | None:
    """Return the hook in the form that this kernel has, and the BTF id of its target; None if the kernel has none.

    A hook at a function may become one at a tracepoint.  The kernel that lab builds for User-mode Linux, which cannot
    attach programs to functions, has a tracepoint NAME_tp in their place, with the same arguments.
    """
    if hook.kind != "tracepoint":
        replacement = replace(hook, kind="tracepoint", targets=tuple(f"{name}_tp" for name in hook.targets))
        found = find_hook(types, replacement)
        if found is not None:
            return found
    find = types.tracepoint if hook.kind == "tracepoint" else types.function
    place = next((place for place in map(find, hook.targets) if place is not None), None)
    return None if place is None else (hook, place)


def _place(hook: Hook) -> str:
    what = "tracepoint" if hook.kind == "tracepoint" else "function"
    return f"{what} {' or '.join(hook.targets)}"


def _why(hook: Hook, number: int) -> str:
    reason = os.strerror(number)
    if number == errno.EPERM and os.geteuid() != 0:
        return f"{reason} (loading BPF programs requires root)"
    if number in (errno.EPERM, errno.ENOTSUP) and hook.kind != "tracepoint":
        return f"{reason} (this kernel allows BPF programs at tracepoints only, not at functions through fentry)"
    return reason


@contextlib.contextmanager
def _captured_stderr() -> Iterator[Any]:
    """Capture what C code writes to standard error inside the block; the yielded function returns the text."""
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)

        def captured() -> str:
            file.seek(0)
            return file.read().decode(errors="replace").strip()

        try:
            yield captured
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _numpy_type(kind: Any) -> str:
    if issubclass(kind, ctypes.Array):
        return ("S" if kind._type_ is ctypes.c_char else "V") + str(ctypes.sizeof(kind))
    signed = kind(-1).value < 0
    return f"<{'i' if signed else 'u'}{ctypes.sizeof(kind)}"
