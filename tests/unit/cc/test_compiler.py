# SPDX-License-Identifier: Apache-2.0
"""Compile sources with the real clang in the real sandbox, also hostile ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cc import compiler, sandbox
from lab.cc.compiler import Compiled, CompileError, compile_source
from lab.cc.sandbox import Limits
from lab.cc.sources import gather
from lab.errors import InputError, MachineryError
from lab.store import places

pytestmark = pytest.mark.skipif(
    shutil.which("bwrap") is None or not Path("/usr/bin/clang").exists(),
    reason="clang and bubblewrap are not installed",
)

GOOD = """#include "lab_cc.h"
static u32 ssthresh(struct sock *sk)
{
	return max(tcp_sk(sk)->snd_cwnd / 2, 2);
}
static u32 undo_cwnd(struct sock *sk)
{
	return tcp_sk(sk)->snd_cwnd;
}
static void cong_avoid(struct sock *sk, u32 ack, u32 acked)
{
	tcp_reno_cong_avoid(sk, ack, acked);
}
LAB_CC("my_cc", ssthresh, undo_cwnd, cong_avoid);
"""
SECRET = "the-secret-of-the-host"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def secret() -> Iterator[Path]:
    """A file of the host that everybody may read, outside of the source's folder."""
    path = Path(f"/var/tmp/lab-secret-{os.getpid()}.h")
    path.write_text(SECRET + "\n")
    yield path
    path.unlink()


def compiled(text: str, *, name: str | None = None, **headers: str) -> Compiled:
    files = {"my_cc.bpf.c": text.encode()} | {f"{header}.h": content.encode() for header, content in headers.items()}
    return compile_source(gather("my_cc.bpf.c", files.get), "labs/one/", name)


def refused(text: str, error: type[Exception] = CompileError) -> str:
    with pytest.raises(error) as caught:
        compiled(text)
    return str(caught.value)


def test_the_name_is_the_one_in_the_source() -> None:
    assert compiled(GOOD).name == "my_cc"


def test_an_experiment_can_give_another_name() -> None:
    assert compiled(GOOD, name="other").name == "other"


def test_the_same_source_gives_the_same_object_without_the_cache_and_from_it(own_cache: Path) -> None:
    first = compiled(GOOD)
    (kept,) = places.objects().iterdir()
    assert compiled(GOOD) == first
    kept.unlink()
    assert compiled(GOOD) == first


def test_a_damaged_object_in_the_cache_is_compiled_again() -> None:
    first = compiled(GOOD)
    (kept,) = places.objects().iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    assert compiled(GOOD) == first


def test_a_cache_that_cannot_be_written_is_no_failure(own_cache: Path) -> None:
    own_cache.mkdir()
    (own_cache / "objects").write_text("a file in the place of the folder")
    assert compiled(GOOD).name == "my_cc"


def test_a_header_beside_the_source_is_found() -> None:
    text = GOOD.replace("/ 2, 2", "/ TWO, 2").replace('cc.h"\n', 'cc.h"\n#include "mine.h"\n')
    assert compiled(text, mine="#define TWO 2\n").name == "my_cc"


def test_a_compile_error_has_the_students_file_and_line() -> None:
    message = refused(GOOD.replace("snd_cwnd / 2", "snd_cwmd / 2"))
    assert "labs/one/my_cc.bpf.c:4:" in message
    assert "no member named 'snd_cwmd'" in message
    assert "/src" not in message


def test_a_compile_error_of_a_header_has_its_file_and_line() -> None:
    with pytest.raises(CompileError, match=r"(?m)^labs/one/mine\.h:1:1: error: unknown type name 'flaot'"):
        compiled(GOOD.replace('cc.h"\n', 'cc.h"\n#include "mine.h"\n'), mine="flaot x;\n")


def test_control_characters_of_a_source_do_not_reach_the_terminal() -> None:
    message = refused('#error "\x1b[31mred\x1b]0;title\x07"\n')
    assert all(letter.isprintable() or letter in "\n\t" for letter in message)


@pytest.mark.parametrize("text", ["int x;\n", "", "int f(void) { return 1; }\n"])
def test_a_source_without_an_algorithm(text: str) -> None:
    assert "expected LAB_CC(" in refused(text, InputError)


def test_a_name_that_the_kernel_may_not_have() -> None:
    message = refused(GOOD.replace('"my_cc"', '"My-CC"'), InputError)
    assert "labs/one/my_cc.bpf.c:14: found the name 'My-CC'" in message


@pytest.mark.parametrize(
    "line",
    ['#include "{path}"', "#include <{path}>", '#define P "{path}"\n#include P', '__asm__(".incbin \\"{path}\\"");'],
)
def test_no_file_of_the_host_can_be_read(secret: Path, line: str) -> None:
    message = refused(line.replace("{path}", str(secret)) + "\n" + GOOD)
    assert SECRET not in message
    assert "not found" in message or "Could not find incbin file" in message or "No such file" in message


def test_an_include_from_elsewhere_says_what_is_allowed() -> None:
    message = refused('#include "/etc/passwd"\n' + GOOD)
    assert "labs/one/my_cc.bpf.c:1: found an include of '/etc/passwd'; expected lab_cc.h, or a header in" in message
    assert "root:" not in message


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", "/proc/self/environ", "/proc/self/maps"])
def test_no_device_and_no_process_can_be_read(path: str) -> None:
    refused(f'#include "{path}"\n' + GOOD)
    refused(f'__asm__(".incbin \\"{path}\\"");\n' + GOOD)


def test_limits_end_a_macro_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "DEFAULT_LIMITS", SHORT)
    monkeypatch.setattr(sandbox.run, "__defaults__", (SHORT,))
    steps = "".join(f"#define M{step} M{step - 1} M{step - 1}\n" for step in range(1, 40))
    message = refused(f"#define M0 x\n{steps}int y = M39;\n")
    assert "s of processor time" in message or "GiB of memory" in message or "within" in message


SHORT = Limits(processor_s=1, wall_s=15)


@pytest.mark.parametrize(
    "text",
    [
        '__asm__(".rept 1000000000\\n.quad 1\\n.endr");',
        "char big[2147483647] = {1};",
        '__asm__(".fill 2000000000, 1, 65");',
        "int a[1 << 20] = {[0 ... (1 << 20) - 1] = 1};",
    ],
)
def test_limits_end_what_is_too_large(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.run, "__defaults__", (SHORT,))
    message = refused(text + "\n" + GOOD)
    assert message.splitlines()[0].startswith(
        ("its object has more than", "compiling it takes", "clang crashed", "it does")
    )


def test_large_global_variables_are_refused_before_the_guest_has_them() -> None:
    message = refused(GOOD.replace("LAB_CC(", "u64 big[32 << 20];\nLAB_CC("), InputError)
    assert "found 256 MiB of global variables; expected at most 16 MiB" in message


def test_nothing_is_left_in_the_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    compiled(GOOD)
    refused("#error no\n")
    assert not list(tmp_path.glob("lab-cc-*"))


def test_without_bubblewrap_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    message = refused(GOOD, MachineryError)
    assert "needs bubblewrap" in message
    assert "lab doctor --fix" in message


def test_without_namespaces_nothing_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    program.chmod(0o755)
    restricted = tmp_path / "restricted"
    restricted.write_text("1\n")
    monkeypatch.setattr(shutil, "which", lambda _name: str(program))
    monkeypatch.setattr(sandbox, "_RESTRICTED", restricted)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    message = refused(GOOD, MachineryError)
    assert "setting up uid map: Permission denied" in message
    assert "AppArmor" in message


def test_without_clang_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise MachineryError("compiling a congestion control needs clang; `lab doctor --fix` installs it")

    monkeypatch.setattr(compiler, "find_clang", missing)
    assert "needs clang" in refused(GOOD, MachineryError)
