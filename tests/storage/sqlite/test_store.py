"""What only the SQLite engine has: a file that may be damaged, a disk that may be full, a process that may be killed."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tenantry.storage.sqlite import AlreadyOpen, SqliteStore
from tenantry.storage.sqlite.schema import translated
from tenantry.storage.store import Compacted, Damaged, Delete, Indeterminate, Put, Unavailable

ALL = (b"/", b"0")


async def filled(directory: Path) -> None:
    store = await SqliteStore.open(directory)
    for at in range(20):
        await store.commit([], [Put(b"/%d/%d" % (at, key), os.urandom(300), key) for key in range(20)], [])
    await store.close()


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "store.lock"}


def spawned(program: str, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, str(directory)], stdout=subprocess.PIPE, text=True)


async def test_a_second_process_is_told_who_has_the_directory(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from tenantry.storage.sqlite import SqliteStore

        async def main():
            await SqliteStore.open(Path(sys.argv[1]))
            print("open", flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())
    """)
    with spawned(program, tmp_path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(AlreadyOpen) as refused:
            await SqliteStore.open(tmp_path)
        other.kill()
    assert (refused.value.directory, refused.value.pid) == (tmp_path, other.pid)
    assert str(tmp_path) in str(refused.value)
    assert str(other.pid) in str(refused.value)
    store = await SqliteStore.open(tmp_path)
    with pytest.raises(AlreadyOpen):
        await SqliteStore.open(tmp_path)
    await store.close()
    await (await SqliteStore.open(tmp_path)).close()


async def test_the_cell_is_kept(tmp_path: Path) -> None:
    await (await SqliteStore.open(tmp_path, cell=7)).close()
    store = await SqliteStore.open(tmp_path, cell=1)
    assert store.cell == 7
    await store.close()


async def test_acknowledged_writes_survive_kill_9(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import asyncio, sys
        from pathlib import Path
        from tenantry.storage.sqlite import SqliteStore
        from tenantry.storage.store import Delete, Put

        async def main():
            store = await SqliteStore.open(Path(sys.argv[1]))
            first = (await store.read(b"/", b"0")).revision
            for number in range(first, 1_000_000):
                puts = [Put(b"/%d/%d" % (number, key), b"v" * 2000, key) for key in range(10)]
                deletes = [Delete(b"/%d/0" % (number - 1))]
                print(number, await store.commit([], puts, deletes), flush=True)

        asyncio.run(main())
    """)
    last_revision = 1
    for acknowledged in (1, 40, 150):
        with spawned(program, tmp_path) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(acknowledged)]
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.readlines()
        # The last line may be cut where the child was killed; the lines before it are whole.
        pairs = [tuple(map(int, line.split())) for line in lines if line.endswith("\n")]
        store = await SqliteStore.open(tmp_path)
        page = await store.read(*ALL)
        found = {kv.key: kv for kv in page.kvs}
        assert pairs[0][1] == last_revision + 1
        for number, revision in pairs:
            kv = found[b"/%d/9" % number]
            assert (kv.mod_revision, kv.index, kv.value) == (revision, 9, b"v" * 2000)
            assert (b"/%d/0" % (number - 1)) not in found
        # What was not acknowledged is whole or absent.
        for number in {int(key.split(b"/")[1]) for key in found}:
            assert {b"/%d/%d" % (number, key) for key in range(1, 10)} <= found.keys()
        last_revision = page.revision
        await store.close()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_takes_no_more_refuses_writes_and_recovers(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    written = 0
    with file_size_limit(1 << 20):
        with pytest.raises(Unavailable):
            while True:
                await store.commit([], [Put(b"/%d" % written, b"v" * 50_000)], [])
                written += 1
        assert written > 3
        with pytest.raises(Unavailable):
            await store.commit([], [Put(b"/%d" % written, b"v" * 50_000)], [])
        page = await store.read(*ALL)
        assert (len(page.kvs), page.revision) == (written, written + 1)
    assert await store.commit([], [Put(b"/after", b"v")], []) == written + 2
    await store.close()
    store = await SqliteStore.open(tmp_path)
    assert len((await store.read(*ALL)).kvs) == written + 1
    await store.close()


async def test_a_full_database_refuses_writes_and_recovers(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path, retain_revisions=1)
    database = store._writer._database
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages + 20}").fetchone()
    written = 0
    with pytest.raises(Unavailable, match="full"):
        while True:
            await store.commit([], [Put(b"/%d" % written, b"v" * 3000)], [])
            written += 1
    assert written > 3
    assert len((await store.read(*ALL)).kvs) == written
    database.execute("PRAGMA max_page_count = 100000").fetchone()
    revision = await store.commit([], [Put(b"/after", b"v")], [Delete(b"/0")])
    assert revision == written + 2
    await store.close()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def scribble(path: Path) -> None:
    with path.open("r+b") as file:
        for page in range(2, path.stat().st_size // 4096, 3):
            file.seek(page * 4096)
            file.write(b"\xa5" * 2048)


def other_program(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE notes (text)")
    database.close()


def newer(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def text(path: Path) -> None:
    path.write_text("not a database at all\n" * 100)


@pytest.mark.parametrize("damage", [cut, empty, scribble, other_program, newer, text])
async def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    await filled(tmp_path)
    damage(tmp_path / "store.sqlite")
    before = contents(tmp_path)
    for _ in range(2):
        with pytest.raises(Damaged) as refused:
            await SqliteStore.open(tmp_path)
        assert "store" in str(refused.value)
    assert contents(tmp_path) == before


async def test_a_damaged_file_with_a_log_from_a_crash_is_left_alone(tmp_path: Path) -> None:
    live, copy = tmp_path / "live", tmp_path / "copy"
    await filled(live)
    store = await SqliteStore.open(live)
    await store.commit([], [Put(b"/late", b"v")], [])
    shutil.copytree(live, copy)
    await store.close()
    (copy / "store.sqlite-shm").unlink()
    scribble(copy / "store.sqlite")
    before = contents(copy)
    with pytest.raises(Damaged):
        await SqliteStore.open(copy)
    after = contents(copy)
    assert (after["store.sqlite"], after["store.sqlite-wal"]) == (before["store.sqlite"], before["store.sqlite-wal"])


async def test_a_log_without_its_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite-wal").write_bytes(b"the rest of a store")
    before = contents(tmp_path)
    with pytest.raises(Damaged):
        await SqliteStore.open(tmp_path)
    assert contents(tmp_path) == before


async def test_a_torn_log_is_the_crash_that_it_is(tmp_path: Path) -> None:
    live, copy = tmp_path / "live", tmp_path / "copy"
    store = await SqliteStore.open(live)
    await store.commit([], [Put(b"/first", b"v" * 9000)], [])
    await store.commit([], [Put(b"/second", b"v" * 9000)], [])
    shutil.copytree(live, copy)
    await store.close()
    os.truncate(copy / "store.sqlite-wal", (copy / "store.sqlite-wal").stat().st_size - 100)
    store = await SqliteStore.open(copy)
    page = await store.read(*ALL)
    assert ([kv.key for kv in page.kvs], page.revision) == ([b"/first"], 2)
    await store.close()


async def test_the_rest_of_an_interrupted_creation_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite.new").write_bytes(b"half")
    store = await SqliteStore.open(tmp_path)
    assert (await store.read(*ALL)).kvs == []
    await store.close()
    assert not (tmp_path / "store.sqlite.new").exists()


async def test_an_unusable_directory_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="data directory"):
        await SqliteStore.open(tmp_path / "file")


async def test_history_is_compacted_as_it_grows(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path, retain_revisions=50)
    for number in range(700):
        revision = await store.commit([], [Put(b"/a", b"%d" % number), Put(b"/b%d" % number, b"")], [])
    with pytest.raises(Compacted):
        await store.read(*ALL, revision=revision - 400)
    assert len((await store.read(*ALL, revision=revision - 50)).kvs) == 651
    rows = store._writer._database.execute("SELECT count(*) FROM log WHERE key = x'2f61'").fetchone()[0]
    assert rows < 50 + 300
    await store.close()


async def test_big_values_are_kept_for_less_long(tmp_path: Path) -> None:
    size, kept = 100_000, 2_000_000
    store = await SqliteStore.open(tmp_path, retain_bytes=kept)
    for number in range(200):
        revision = await store.commit([], [Put(b"/a", b"%d" % number * (size // len(str(number))))], [])
    await store.commit([], [], [Delete(b"/nothing")])
    rows = store._writer._database.execute("SELECT sum(length(value)) FROM log").fetchone()[0]
    assert rows <= 2 * kept + 2 * size
    assert (await store.read(*ALL, revision=revision - 10)).kvs[0].value.startswith(b"189")
    with pytest.raises(Compacted):
        await store.read(*ALL, revision=revision - 60)
    await store.close()


async def test_a_watch_that_fell_behind_compaction_says_so(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    watch = store.watch(b"/a", b"/b", from_revision=1)
    await anext(watch)
    for number in range(60):
        await store.commit([], [Put(b"/a/%d/%d" % (number, key), b"") for key in range(100)], [])
    await store.compact(30)
    with pytest.raises(Compacted):
        await anext(watch)
    await store.close()


def test_an_unconfirmed_write_is_indeterminate() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    assert isinstance(translated(error), Indeterminate)
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    assert isinstance(translated(error), Unavailable)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT_INDEX
    assert isinstance(translated(error), Damaged)


async def test_many_commits_at_once_keep_their_order(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    revisions = await asyncio.gather(*(store.commit([], [Put(b"/%d" % at, b"")], []) for at in range(50)))
    assert revisions == list(range(2, 52))
    await store.close()
