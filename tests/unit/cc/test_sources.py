# SPDX-License-Identifier: Apache-2.0
"""Which files belong to a source, and that no path leads out of its folder."""

from __future__ import annotations

import hashlib

import pytest

from lab.cc.sources import MAX_SOURCE_BYTES, Refused, Sources, gather
from lab.errors import InputError


def gathered(files: dict[str, bytes]) -> Sources:
    asked: list[str] = []

    def read(path: str) -> bytes | None:
        asked.append(path)
        return files.get(path)

    found = gather("my_cc.bpf.c", read)
    assert not any(path.startswith("/") or ".." in path.split("/") for path in asked)
    return found


def test_a_source_alone_has_the_digest_of_its_file() -> None:
    found = gathered({"my_cc.bpf.c": b'#include "lab_cc.h"\n'})
    assert set(found.files) == {"my_cc.bpf.c"}
    assert found.sha256 == hashlib.sha256(b'#include "lab_cc.h"\n').hexdigest()


def test_headers_in_the_folder_and_below_belong_to_the_source() -> None:
    files = {
        "my_cc.bpf.c": b'#include "a.h"\n  #  include "parts/b.h"\n#include "none.h"\n',
        "a.h": b'#include "a.h"\n',
        "parts/b.h": b'#include "c.h"\n',
        "parts/c.h": b"",
        "other.h": b"",
    }
    found = gathered(files)
    assert set(found.files) == {"my_cc.bpf.c", "a.h", "parts/b.h", "parts/c.h"}
    changed = gathered({**files, "parts/c.h": b"int x;\n"})
    assert len({found.sha256, changed.sha256, hashlib.sha256(files["my_cc.bpf.c"]).hexdigest()}) == 3


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.h", "a/../../x.h", "./x.h", "a//b.h", "a/.hidden.h", "x y.h"])
def test_a_path_that_may_lead_elsewhere_is_refused(path: str) -> None:
    found = gathered({"my_cc.bpf.c": f'int x;\n#include "{path}"\n'.encode()})
    assert found.refused == (Refused("my_cc.bpf.c", 2, path),)


@pytest.mark.parametrize(
    "name", [".bpf.c", "a.c", "-o.bpf.c", "a b.bpf.c", "../a.bpf.c", "a\n.bpf.c", "x" * 101 + ".bpf.c"]
)
def test_a_name_that_could_be_something_else_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="found a source named"):
        gather(name, lambda _path: b"")


def test_the_size_of_all_files_together_is_limited() -> None:
    half = b"/" * (MAX_SOURCE_BYTES // 2)
    with pytest.raises(InputError, match="more than 256 KiB together"):
        gathered({"my_cc.bpf.c": b'#include "a.h"\n' + half, "a.h": half})


def test_the_number_of_headers_is_limited() -> None:
    files = {f"h{number}.h": f'#include "h{number + 1}.h"\n'.encode() for number in range(100)}
    with pytest.raises(InputError, match="more than 32 headers"):
        gathered({"my_cc.bpf.c": b'#include "h0.h"\n', **files})
