# SPDX-License-Identifier: Apache-2.0
"""What host and guest exchange while a trial is watched, tested from both sides."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.job.folder import SharedFolder
from lab.job.mailbox import Mailbox, MailboxError
from lab.job.watched import MOST_CONTROL_BYTES, MOST_FRAME_BYTES, packed, unpacked

Ends = tuple[Mailbox | SharedFolder, Mailbox | SharedFolder]
RING_BYTES = 32 << 20
PUBLISHED_OFFSET = 40


@pytest.fixture
def memory() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, (4 << 20) + RING_BYTES + MOST_CONTROL_BYTES) as found:
        yield found


@pytest.fixture(params=["mailbox", "folder"])
def ends(request: pytest.FixtureRequest, memory: mmap.mmap, tmp_path: Path) -> Ends:
    """The host's and the guest's end of a channel whose trial is watched."""
    make: Callable[[], Mailbox | SharedFolder] = (
        (lambda: Mailbox(memory)) if request.param == "mailbox" else (lambda: SharedFolder(tmp_path))
    )
    host = make()
    host.initialise(b"{}", is_watched=True)
    return host, make()


def test_the_guest_knows_whether_it_is_watched(memory: mmap.mmap, tmp_path: Path, ends: Ends) -> None:
    assert ends[1].is_watched
    ends[0].initialise(b"{}")
    if isinstance(ends[0], Mailbox):
        assert not ends[1].is_watched
    folder = tmp_path / "other"
    folder.mkdir()
    SharedFolder(folder).initialise(b"{}")
    assert not SharedFolder(folder).is_watched


def test_frames_arrive_in_order_and_once(ends: Ends) -> None:
    host, guest = ends
    assert host.frames() == []
    frames = [bytes([number]) * number for number in range(5)]
    for frame in frames:
        assert guest.publish(frame)
    assert host.frames() == frames
    assert host.frames() == []
    assert guest.publish(b"later")
    assert host.frames() == [b"later"]


def test_the_control_is_the_newest_one(ends: Ends) -> None:
    host, guest = ends
    assert guest.control == b""
    host.control = b'{"allowed_ns": 5}'
    host.control = b'{"allowed_ns": 7}'
    assert guest.control == b'{"allowed_ns": 7}'


def test_no_control_document_replaces_another(tmp_path: Path) -> None:
    # The guest's kernel asks for a file's size before it opens the file, and may be stopped between the two.
    host = SharedFolder(tmp_path)
    host.initialise(b"{}", is_watched=True)
    documents = [b"", b'{"allowed_ns": 500000000}', b"{}"]
    for document in documents[1:]:
        host.control = document
    assert sorted(path.read_bytes() for path in tmp_path.glob("control*")) == sorted(documents)


def test_what_is_too_large_is_refused(ends: Ends) -> None:
    host, guest = ends
    with pytest.raises(MailboxError, match="at most"):
        guest.publish(bytes(MOST_FRAME_BYTES + 1))
    with pytest.raises(MailboxError, match="at most"):
        host.control = bytes(MOST_CONTROL_BYTES + 1)


def test_a_full_mailbox_takes_no_frame_until_others_have_left(memory: mmap.mmap) -> None:
    host, guest = Mailbox(memory), Mailbox(memory)
    host.initialise(b"{}", is_watched=True)
    large = os.urandom(MOST_FRAME_BYTES)
    published = 0
    while guest.publish(large):
        published += 1
    assert published == RING_BYTES // (MOST_FRAME_BYTES + 4)
    assert host.frames() == [large] * published
    # These wrap around the end of the ring.
    assert guest.publish(large)
    assert guest.publish(b"small")
    assert host.frames() == [large, b"small"]


def test_a_guest_that_damages_the_ring_is_caught(memory: mmap.mmap) -> None:
    host = Mailbox(memory)
    host.initialise(b"{}", is_watched=True)
    struct.pack_into("<Q", memory, PUBLISHED_OFFSET, 1 << 60)
    with pytest.raises(MailboxError, match="positions"):
        host.frames()
    host.initialise(b"{}", is_watched=True)
    struct.pack_into("<Q", memory, PUBLISHED_OFFSET, 100)
    struct.pack_into("<I", memory, len(memory) - RING_BYTES, 1 << 31)
    with pytest.raises(MailboxError, match="damaged a frame"):
        host.frames()


@pytest.mark.parametrize("kind", ["link", "pipe", "large", "folder"])
def test_something_else_than_a_file_is_no_frame(kind: str, tmp_path: Path) -> None:
    host = SharedFolder(tmp_path)
    host.initialise(b"{}", is_watched=True)
    frame, secret = tmp_path / "frame-0", tmp_path / "secret"
    secret.write_text("of the host")
    if kind == "link":
        frame.symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(frame)
    elif kind == "large":
        with frame.open("wb") as file:
            file.truncate(MOST_FRAME_BYTES + 1)
    else:
        frame.mkdir()
    with pytest.raises((MailboxError, OSError)):
        host.frames()


def test_the_host_writes_through_no_link_of_the_guest(tmp_path: Path) -> None:
    folder, secret = tmp_path / "shared", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("of the host")
    host = SharedFolder(folder)
    host.initialise(b"{}", is_watched=True)
    (folder / "control-1.part").symlink_to(secret)
    with pytest.raises(OSError, match="symbolic links"):
        host.control = b"{}"
    assert secret.read_text() == "of the host"
    (folder / "control-1.part").unlink()
    (folder / "control-1").symlink_to(secret)
    host.control = b"{}"
    assert secret.read_text() == "of the host"


def test_a_frame_is_what_was_packed() -> None:
    frame = packed({"kind": "tick", "now_ns": 3}, {"a": b"12", "b": b"", "c": b"3"})
    assert unpacked(frame) == ({"kind": "tick", "now_ns": 3}, {"a": b"12", "b": b"", "c": b"3"})


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x01",
        struct.pack("<I", 100) + b"{}",
        struct.pack("<I", 2) + b"[]",
        struct.pack("<I", 2) + b"{}",
        struct.pack("<I", 20000) + b"[" * 20000,
        packed({"kind": "tick"}, {"a": b"12"})[:-1],
        packed({"kind": "tick"}, {"a": b"12"}) + b"more",
        packed({"kind": "tick"}, {"a": b"12"}).replace(b'"a": 2', b'"a":-2'),
        packed({"kind": "tick"}, {"a": b"12"}).replace(b'"a": 2', b'"a":""'),
    ],
)
def test_anything_else_is_no_frame(frame: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpacked(frame)
