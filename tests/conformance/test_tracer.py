"""The tracer, on a program of two threads: each store is seen, and each death is where it was to be."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from refimpl.memory import SharedMemory
from vhost_inflight.conformance.ptrace import TracingError
from vhost_inflight.conformance.symbols import symbols
from vhost_inflight.conformance.tracer import Aim, Area, Seen, Tracer

STORES = 40


@pytest.fixture(scope="module")
def program(programs: Path) -> Path:
    """Build the program."""
    built = programs / "threads"
    source = Path(__file__).with_name("threads.c")
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-g", "-O1", "-pthread", "-o", built, source], check=True)
    return built


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    """Give a page of shared memory."""
    with SharedMemory.create(4096, "threads") as made:
        yield made


def traced(program: Path, memory: SharedMemory, aim: Aim | None = None, *besides: str) -> tuple[Tracer, int]:
    """Run the program under a tracer to its end; return both, with its status."""
    memory.view()[:] = bytes(4096)
    command = [str(program), str(memory.fd), str(STORES), *besides]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[memory.fd])
    tracer = Tracer(process.pid, aim)
    tracer.start([Area("memory", memory.fd, 0, memory.view(0, 16))])
    assert process.stdin is not None
    process.stdin.write(b"g")
    process.stdin.close()
    tracer.join()
    if tracer.failure is not None:
        raise tracer.failure
    assert tracer.status is not None
    process.returncode = os.waitstatus_to_exitcode(tracer.status)  # the tracer has waited for it
    return tracer, process.returncode


def counts(seen: list[Seen]) -> list[tuple[int, int]]:
    """Give what both threads' words are after each store."""
    return [struct.unpack("<II", change.new[:8]) for store in seen for change in store.changes]


def test_each_store_of_each_thread_is_seen_once(program: Path, memory: SharedMemory) -> None:
    tracer, status = traced(program, memory)
    assert status == 0
    found = counts(tracer.seen)
    assert len(found) == 2 * STORES
    assert found[-1] == (STORES, STORES)
    for which in (0, 1):
        assert sorted({pair[which] for pair in found} - {0}) == list(range(1, STORES + 1))
    assert len({(store.module, store.offset) for store in tracer.seen}) == 1, "one instruction makes them all"


def test_a_thread_that_was_there_before_is_seen_too(program: Path, memory: SharedMemory) -> None:
    """It maps the memory, and nobody else does a system call meanwhile: DPDK's recovery is such a thread's."""
    tracer, status = traced(program, memory, None, "early")
    assert (status, counts(tracer.seen)) == (0, [(number, 0) for number in range(1, STORES + 1)])


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("occurrence", [1, 17, 2 * STORES])
def test_it_dies_before_or_after_the_store_that_was_aimed_at(
    program: Path, memory: SharedMemory, occurrence: int, *, after: bool
) -> None:
    """Both threads' words count the stores: whichever made them, there are as many as wanted."""
    (where,) = {(store.module, store.offset) for store in traced(program, memory)[0].seen}
    tracer, status = traced(program, memory, Aim(*where, occurrence, after))
    assert status == -signal.SIGKILL
    assert tracer.hit is not None
    assert sum(struct.unpack("<II", memory.view(0, 8))) == occurrence - (not after)


def test_an_aim_that_is_not_met_changes_nothing(program: Path, memory: SharedMemory) -> None:
    (where,) = {(store.module, store.offset) for store in traced(program, memory)[0].seen}
    tracer, status = traced(program, memory, Aim(*where, 2 * STORES + 1, after=True))
    assert (status, tracer.hit) == (0, None)
    assert struct.unpack("<II", memory.view(0, 8)) == (STORES, STORES)


def test_an_instruction_has_a_function_and_a_line(program: Path, memory: SharedMemory) -> None:
    seen = traced(program, memory)[0].seen
    (symbol,) = symbols((store.module, store.offset) for store in seen).values()
    text = Path(__file__).with_name("threads.c").read_text(encoding="utf-8").splitlines()
    line = next(number for number, line in enumerate(text, 1) if "+ 1;" in line)
    assert (symbol.function, symbol.line) == ("count", f"threads.c:{line}")


def test_what_has_no_symbols_has_none(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no program")
    assert [str(symbol) for symbol in symbols([(str(text), 1), ("", 2)]).values()] == ["?", "?"]


def test_who_may_not_be_traced_is_told(memory: SharedMemory) -> None:
    """No process can trace itself."""
    tracer = Tracer(os.getpid())
    with pytest.raises(TracingError, match="Operation not permitted"):
        tracer.start([Area("memory", memory.fd, 0, memory.view(0, 16))])


@pytest.mark.parametrize("after", [False, True])
def test_a_blind_aim_counts_executions_without_the_memory(program: Path, memory: SharedMemory, *, after: bool) -> None:
    """It dies where one that looks dies, as each execution of that store changes something."""
    found, _ = traced(program, memory)
    store = found.seen[0]
    words = []
    for blind in (False, True):
        tracer, status = traced(program, memory, Aim(store.module, store.offset, 3, after=after, blind=blind))
        assert tracer.hit is not None
        assert status == -signal.SIGKILL
        words.append(sum(struct.unpack("<II", memory.view(0, 8))))
    assert words == [3 - (not after)] * 2
