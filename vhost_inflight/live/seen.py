"""What a front-end and a back-end have told each other of memory, regions and rings; as JSON, which `dump` reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from refimpl.documents import read_document
from refimpl.errors import UsageError
from refimpl.layout import RING_SIZE_MAX
from refimpl.wire.payload import Inflight, MemoryRegion
from vhost_inflight.live.buffers import Known, Reading, readings
from vhost_inflight.live.processes import BUFFER_MAX, FileId, read
from vhost_inflight.live.states import PeerMemory, Ring, state

__all__ = ["FORMAT", "Seen", "load"]

FORMAT: Final = "vhost-inflight proxy 1"
"""What a status file says that it is."""

Opened = Callable[[FileId], int]
"""Gives a descriptor of a file, for as long as somebody else keeps it open."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one connection: each file by its identity, the rings by their queue.

    ``memory`` has the regions of the guest's memory and their files, ``inflight`` the shared buffer and its file.
    """

    packed: bool = False
    inflight: tuple[Inflight, FileId] | None = None
    memory: tuple[tuple[MemoryRegion, FileId], ...] = ()
    rings: Mapping[int, Ring] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind of the rings."""
        return "packed" if self.packed else "split"

    @property
    def files(self) -> set[FileId]:
        """Every file that is needed to read it all."""
        return {file for _, file in self.memory} | ({self.inflight[1]} if self.inflight else set())

    def ring(self, queue: int, **changed: int) -> Seen:
        """Return it with a ring that is elsewhere, or has another size."""
        before = self.rings.get(queue, Ring(0, 0, 0, 0))
        return replace(self, rings={**self.rings, queue: before._replace(**changed)})

    def buffer(self, opened: Opened) -> tuple[Reading, bytes]:
        """Read the shared buffer, and tell what it holds.

        Raises UsageError where there is none or none of its size is known, ProcessError where it cannot be read.
        """
        if self.inflight is None:
            raise UsageError(
                "no region was handed over (neither GET_INFLIGHT_FD nor SET_INFLIGHT_FD): nothing is tracked"
            )
        told, file = self.inflight
        what = f"{told.mmap_size} bytes for {told.num_queues} {self.kind} regions of {told.queue_size} entries"
        if not 0 < told.mmap_size <= BUFFER_MAX or not told.num_queues or not 0 < told.queue_size <= RING_SIZE_MAX:
            raise UsageError(f"the shared buffer is said to have {what}: no such buffer is known")
        content = read(opened(file), told.mmap_offset, told.mmap_size, "the shared buffer")
        found = readings(content, Known(self.kind, None, told.queue_size, told.num_queues), fresh=True)
        if not found:
            raise UsageError(f"the shared buffer has {what}: too few in any layout")
        return found[0], content

    def state(self, queue: int, opened: Opened) -> dict[str, Any]:
        """Return the document of a queue's state. Raises as `buffer` and `states.state` do, and for an unknown ring."""
        reading, content = self.buffer(opened)
        ring = self.rings.get(queue)
        if queue >= reading.queues:
            raise UsageError(f"queue {queue}: the shared buffer has {reading.queues} regions")
        if ring is None or not ring.size or not ring.desc:
            raise UsageError(f"queue {queue}: nobody has said yet where its ring is (SET_VRING_NUM, SET_VRING_ADDR)")
        memory = PeerMemory((region, opened(file)) for region, file in self.memory)
        return state(reading, content, queue, ring, memory)

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "format": FORMAT,
            "ring": self.kind,
            "inflight": None if self.inflight is None else _flat(*self.inflight),
            "memory": [_flat(*piece) for piece in self.memory],
            "rings": [{"queue": queue, **ring._asdict()} for queue, ring in sorted(self.rings.items())],
        }


def load(path: Path) -> Seen:
    """Read a status file. Raises DocumentError, UsageError for another document, OSError when it cannot be read."""
    document = read_document(path)
    try:
        if document["format"] != FORMAT or document["ring"] not in {"split", "packed"}:
            raise UsageError(f"{path}: this is no status file of a proxy ({FORMAT})")
        told = document["inflight"]
        memory = [(MemoryRegion(*_numbers(piece, MemoryRegion)), _file(piece)) for piece in document["memory"]]
        return Seen(
            document["ring"] == "packed",
            None if told is None else (Inflight(*_numbers(told, Inflight)), _file(told)),
            tuple(memory),
            {each["queue"]: _ring(each) for each in document["rings"]},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: this is no status file of a proxy ({FORMAT}): {error!r}") from error


def _ring(document: Any) -> Ring:
    base = document.get("base")
    where = [_number(document[name]) for name in Ring._fields if name != "base"]
    return Ring(*where)._replace(base=None if base is None else _number(base))


def _flat(payload: Inflight | MemoryRegion, file: FileId) -> dict[str, int]:
    return {each.name: getattr(payload, each.name) for each in fields(payload)} | file._asdict()


def _numbers(document: Any, kind: type[Inflight | MemoryRegion]) -> list[int]:
    return [_number(document[each.name]) for each in fields(kind)]


def _file(document: Any) -> FileId:
    return FileId(_number(document["device"]), _number(document["inode"]))


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise ValueError(f"{value!r} is no number of 64 bits")
    return value
