# SPDX-License-Identifier: Apache-2.0
"""The cache of raw records: what is put comes back, what is damaged does not, and what was used last stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.errors import StoreError
from lab.store.digest import file_digests, record_digest
from lab.store.trial_cache import TrialCache

KEYS = ["a" * 64, "ab" * 32, "c" * 64]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    folder = tmp_path / "record"
    (folder / "iperf3").mkdir(parents=True)
    (folder / "record.json").write_text("{}")
    (folder / "iperf3" / "x.json").write_bytes(bytes(1000))
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> TrialCache:
    return TrialCache(tmp_path / "cache")


def test_what_is_put_comes_back(cache: TrialCache, record: Path) -> None:
    assert cache.get(KEYS[0]) is None
    put = cache.put(KEYS[0], record)
    assert cache.get(KEYS[0]) == (put, record_digest(record))
    assert file_digests(put) == file_digests(record)
    assert cache.get(KEYS[1]) is None
    (record / "record.json").write_text("{ }")
    cache.put(KEYS[0], record)
    assert file_digests(put) == file_digests(record)


def test_a_record_that_was_made_again_disproves_another_one(cache: TrialCache, record: Path) -> None:
    assert not cache.disprove(KEYS[0], "0" * 64), "there is none"
    cache.put(KEYS[0], record)
    put = cache.put(KEYS[1], record)
    assert not cache.disprove(KEYS[0], record_digest(record))
    assert cache.get(KEYS[0]) is not None
    assert cache.disprove(KEYS[0], "0" * 64)
    assert cache.get(KEYS[0]) is None
    assert cache.get(KEYS[1]) is not None
    (put.parent / "digest").write_bytes(b"\xff")
    assert cache.disprove(KEYS[1], record_digest(record)), "a digest that is no text is another one"


@pytest.mark.parametrize("damage", ["changed", "more", "less", "no digest", "digest of bytes", "link", "no record"])
def test_a_damaged_entry_is_gone(damage: str, cache: TrialCache, record: Path) -> None:
    put = cache.put(KEYS[0], record)
    if damage == "changed":
        (put / "record.json").write_text("{x")
    elif damage == "more":
        (put / "more").write_text("")
    elif damage == "less":
        (put / "record.json").unlink()
    elif damage == "digest of bytes":
        (put.parent / "digest").write_bytes(b"\xff\xfe")
    elif damage == "no digest":
        (put.parent / "digest").unlink()
    elif damage == "link":
        (put / "record.json").unlink()
        (put / "record.json").symlink_to("/dev/null")
    else:
        for path in (put / "iperf3" / "x.json", put / "record.json"):
            path.unlink()
    assert cache.get(KEYS[0]) is None
    assert not put.parent.exists()


def test_what_was_used_last_stays(cache: TrialCache, record: Path) -> None:
    entries = [cache.put(key, record).parent for key in KEYS]
    for age, entry in enumerate(entries):
        os.utime(entry, (1000 - age, 1000 - age))
    size = cache.size_bytes()
    assert size == 3 * (2 + 1000 + 65)
    cache.get(KEYS[2])
    assert cache.prune(size) == 0
    assert cache.prune(size - 1) == 1
    assert [entry.exists() for entry in entries] == [True, False, True]
    assert cache.prune(0) == 2
    assert cache.size_bytes() == 0


@pytest.mark.parametrize("key", ["", "../../../etc", "A" * 64, "a" * 15])
def test_what_is_no_key(key: str, cache: TrialCache) -> None:
    with pytest.raises(ValueError, match="not a cache key"):
        cache.get(key)


SCRIPT = """
import sys, time
from pathlib import Path
from lab.store.digest import record_digest
from lab.store.trial_cache import TrialCache

cache, record, seed = TrialCache(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
right = record_digest(record)
keys = [f"{number:02x}" * 32 for number in range(3)]
end, found, removed = time.monotonic() + 2, 0, 0
while time.monotonic() < end:
    for number in range(len(keys)):
        key = keys[(number + seed) % len(keys)]
        cache.put(key, record)
        cached = cache.get(key)
        assert cached is None or cached.digest == right
        found += cached is not None
        size = cache.size_bytes()
        assert 0 <= size <= len(keys) * 5000, size
        removed += cache.prune((number + seed) % 3 * 1100)
        cache.disprove(key, "0" * 64)
print(found, removed)
"""


def test_several_processes_put_get_and_prune_the_same_cache(cache: TrialCache, record: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, cache.root, record, str(seed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(4)
    ]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [(process.returncode, error) for process, (_, error) in zip(processes, outputs, strict=True)] == [
        (0, "")
    ] * 4
    found, removed = (sum(int(output.split()[place]) for output, _ in outputs) for place in (0, 1))
    assert found > 0
    assert removed > 0
    assert not list(cache.root.rglob(".tmp-*"))


def test_a_cache_that_cannot_be_listed_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for limit in (TrialCache(tmp_path / "file").prune, lambda _most: TrialCache(tmp_path / "file").size_bytes()):
        with pytest.raises(StoreError, match=rf"^cannot read {tmp_path}/file: Not a directory$"):
            limit(0)


def test_a_record_without_files_is_none(cache: TrialCache, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="no files"):
        cache.put(KEYS[0], tmp_path / "empty")
    with pytest.raises(StoreError, match="no files"):
        record_digest(tmp_path / "empty")


def test_digests_are_of_names_and_contents(record: Path, tmp_path: Path) -> None:
    before = record_digest(record)
    (record / "record.json").chmod(0o600)
    (record / "empty").mkdir()
    assert record_digest(record) == before
    (record / "record.json").rename(record / "record2.json")
    assert record_digest(record) != before
