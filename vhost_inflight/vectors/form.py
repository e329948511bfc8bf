"""What a vector is: the dataclasses of vector.schema.json, and how they become JSON and come back.

Bytes are bytes here and hex in JSON. Nothing here knows the model: who only reads vectors imports this alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

__all__ = [
    "FORMAT", "PARTS", "RINGS", "Answer", "Given", "Lived", "Meanwhile", "Op", "Outcome", "Recovered", "Refused",
    "Store", "Vector", "dump", "load", "schema",
]  # fmt: skip

FORMAT: Final = "vhost-inflight vector 1"
"""What a vector says that it is: the revision of the format is its last word."""

STATE: Final = "vhost-inflight state 1"

RINGS: Final = ("split", "packed")

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "split": ("descriptors", "available", "used"),
    "packed": ("descriptors", "driver_event", "device_event"),
}
"""By ring, the parts of ``ring_memory``; a store may besides go to ``region`` and to ``call``."""

Place = tuple[str, int]
"""A part, and an offset in it."""


@dataclass(frozen=True, slots=True)
class Store:
    """One store: the part that it goes to, the offset in it, its bytes."""

    part: str
    offset: int
    data: bytes

    def json(self) -> list[Any]:
        """Write it as the schema wants it."""
        return [self.part, self.offset, self.data.hex()]

    @staticmethod
    def of(told: list[Any]) -> Store:
        """Read it."""
        return Store(told[0], told[1], bytes.fromhex(told[2]))


@dataclass(frozen=True, slots=True)
class Given:
    """What a back-end finds: a state as `recover` takes it, and what the front-end says besides.

    `shared`, `queues` and `queue` are of several queues in one buffer, and None where there is one. `stopped` is the
    pair of generations by which the ring was stopped, None where its back-end died.
    """

    ring: str
    revision: str
    queue_size: int
    region_size: int
    region: bytes
    ring_memory: Mapping[str, bytes]
    base: int
    stride: int
    offset: int = 0
    memory: tuple[tuple[int, bytes], ...] = ()
    shared: bytes | None = None
    queues: int | None = None
    queue: int | None = None
    stopped: str | None = None

    def state(self) -> dict[str, Any]:
        """Give it as an input of `recover`, without what that does not know."""
        told: dict[str, Any] = {
            "format": STATE, "ring": self.ring, "revision": self.revision, "queue_size": self.queue_size,
            "region_size": self.region_size, "region": self.region.hex(), "ring_memory": _hexes(self.ring_memory),
        }  # fmt: skip
        if self.memory:
            told["memory"] = [{"address": address, "bytes": data.hex()} for address, data in self.memory]
        return told | {"base": self.base} | ({} if self.stopped is None else {"stopped": self.stopped})

    def json(self) -> dict[str, Any]:
        """Write it as the schema wants it."""
        told = self.state() | {"stride": self.stride, "offset": self.offset}
        if self.shared is not None:
            told |= {"shared": self.shared.hex(), "queues": self.queues, "queue": self.queue}
        return told

    @staticmethod
    def of(told: Mapping[str, Any]) -> Given:
        """Read it."""
        shared = told.get("shared")
        return Given(
            told["ring"], told["revision"], told["queue_size"], told["region_size"], bytes.fromhex(told["region"]),
            _bytes(told["ring_memory"]), told["base"], told["stride"], told["offset"],
            tuple((piece["address"], bytes.fromhex(piece["bytes"])) for piece in told.get("memory", ())),
            None if shared is None else bytes.fromhex(shared), told.get("queues"), told.get("queue"),
            told.get("stopped"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What the driver stores while the back-end is at an op: right before its first store to a place."""

    before: Place
    stores: tuple[Store, ...]

    def json(self) -> dict[str, Any]:
        """Write it as the schema wants it."""
        return {"before": list(self.before), "stores": [s.json() for s in self.stores]}

    @staticmethod
    def of(told: Mapping[str, Any]) -> Meanwhile:
        """Read it."""
        return Meanwhile((told["before"][0], told["before"][1]), tuple(map(Store.of, told["stores"])))


@dataclass(frozen=True, slots=True)
class Op:
    """One op of a trace: start, driver (with its stores), fetch, supply (with a batch of request and len)."""

    op: str
    stores: tuple[Store, ...] = ()
    batch: tuple[tuple[int, int], ...] = ()
    meanwhile: tuple[Meanwhile, ...] = ()

    def json(self, ring: str) -> dict[str, Any]:
        """Write it as the schema wants it."""
        told: dict[str, Any] = {"op": self.op}
        if self.op == "driver":
            told["stores"] = [s.json() for s in self.stores]
        if self.op == "supply":
            name = "head" if ring == "split" else "entry"
            told["batch"] = [{name: request, "len": length} for request, length in self.batch]
        if self.meanwhile:
            told["meanwhile"] = [m.json() for m in self.meanwhile]
        return told

    @staticmethod
    def of(told: Mapping[str, Any]) -> Op:
        """Read it."""
        return Op(
            told["op"],
            tuple(map(Store.of, told.get("stores", ()))),
            tuple((b["head"] if "head" in b else b["entry"], b["len"]) for b in told.get("batch", ())),
            tuple(map(Meanwhile.of, told.get("meanwhile", ()))),
        )


@dataclass(frozen=True, slots=True)
class Recovered:
    """The answer to a state: what is resubmitted, where the ring goes on, and memory afterwards, under masks.

    `resubmit` has heads (split) or pairs of entry and buffer id (packed); `next_avail` and `used` are indexes (split)
    or pairs of slot and wrap counter (packed). `chains` has the descriptors of each that is resubmitted, by their
    numbers in the table (split) or in the region (packed); None: not told.
    """

    resubmit: tuple[Any, ...]
    next_avail: Any
    used: Any
    counter: int | None
    region: bytes
    region_mask: bytes
    ring_memory: Mapping[str, bytes]
    ring_mask: Mapping[str, bytes]
    chains: tuple[tuple[int, ...], ...] | None = None

    def json(self) -> dict[str, Any]:
        """Write it as the schema wants it."""
        chains = {} if self.chains is None else {"chains": [list(chain) for chain in self.chains]}
        return chains | {
            "resubmit": [r if isinstance(r, int) else {"entry": r[0], "id": r[1]} for r in self.resubmit],
            "next_avail": _position(self.next_avail),
            "used": _position(self.used),
            "counter": self.counter,
            "region": self.region.hex(),
            "region_mask": self.region_mask.hex(),
            "ring_memory": _hexes(self.ring_memory),
            "ring_mask": _hexes(self.ring_mask),
        }


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer to bytes that nobody may recover from, and who broke a rule."""

    culprit: str

    def json(self) -> dict[str, Any]:
        """Write it as the schema wants it."""
        return {"refused": self.culprit}


@dataclass(frozen=True, slots=True)
class Lived:
    """What the back-end did at one op of a trace: what it fetched, its stores, and which of them come before which."""

    fetched: int | None
    stores: tuple[Store, ...]
    before: tuple[tuple[int, int], ...] = ()

    def json(self) -> dict[str, Any]:
        """Write it as the schema wants it."""
        return {
            "fetched": self.fetched,
            "stores": [s.json() for s in self.stores],
            "before": [list(pair) for pair in self.before],
        }


Answer = Recovered | Refused | tuple[Lived, ...]
"""Of a state the first or the second; of a trace one `Lived` for each op of the back-end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One acceptable answer, and the choices of gaps with which the text gives it.

    ``said``: it is right only for a back-end that makes these choices wherever it stores, and says so.
    """

    gaps: Mapping[str, str]
    answer: Answer
    said: bool = False

    def is_for(self, choices: Collection[str]) -> bool:
        """Whether it is right for a back-end that says these choices of itself."""
        return not self.said or {f"{gap}={choice}" for gap, choice in self.gaps.items()} <= set(choices)

    def json(self) -> dict[str, Any]:
        """Write it as the schema wants it."""
        answer = [lived.json() for lived in self.answer] if isinstance(self.answer, tuple) else self.answer.json()
        return {"gaps": dict(self.gaps), **({"said": True} if self.said else {}), "answer": answer}

    @staticmethod
    def of(told: Mapping[str, Any]) -> Outcome:
        """Read it."""
        return Outcome(told["gaps"], _answer(told["answer"]), told.get("said", False))


@dataclass(frozen=True, slots=True)
class Vector:
    """A vector, as vector.schema.json says what each field means."""

    id: str
    kind: str
    section: str
    step: str | None
    flags: tuple[str, ...]
    note: str
    severity: str
    given: Given
    outcomes: tuple[Outcome, ...]
    ops: tuple[Op, ...] = ()
    mask: Mapping[str, bytes] = field(default_factory=dict)
    catches: tuple[str, ...] = ()

    @property
    def ring(self) -> str:
        """The ring: split or packed."""
        return self.given.ring

    @property
    def revision(self) -> str:
        """The revision of the text whose answer is expected."""
        return self.given.revision

    def caught(self, names: Iterable[str]) -> Vector:
        """Give it with the names of what fails it."""
        return replace(self, catches=tuple(names))

    def json(self) -> dict[str, Any]:
        """Write it as the schema wants it."""
        told: dict[str, Any] = {
            "format": FORMAT, "id": self.id, "kind": self.kind, "ring": self.ring, "revision": self.revision,
            "section": self.section, "step": self.step, "flags": list(self.flags), "note": self.note,
            "severity": self.severity, "catches": list(self.catches),
            "explain": f"vhost-inflight recover --explain {self.id}", "given": self.given.json(),
        }  # fmt: skip
        if self.kind == "trace":
            told["ops"] = [op.json(self.ring) for op in self.ops]
            told["mask"] = _hexes(self.mask)
        return told | {"expect": {"one_of": [o.json() for o in self.outcomes]}}

    @staticmethod
    def of(told: Mapping[str, Any]) -> Vector:
        """Read one that the schema allows."""
        return Vector(
            told["id"], told["kind"], told["section"], told["step"], tuple(told["flags"]), told["note"],
            told["severity"], Given.of(told["given"]), tuple(map(Outcome.of, told["expect"]["one_of"])),
            tuple(map(Op.of, told.get("ops", ()))), _bytes(told.get("mask", {})), tuple(told["catches"]),
        )  # fmt: skip


def dump(vectors: Iterable[Vector]) -> Iterator[str]:
    """Give a line of JSON for each vector, without its end."""
    for vector in vectors:
        yield json.dumps(vector.json(), separators=(",", ":"))


def load(text: str) -> list[Vector]:
    """Read lines of JSON, one for each vector."""
    return [Vector.of(json.loads(line)) for line in text.splitlines() if line]


@cache
def schema() -> dict[str, Any]:
    """Give the JSON Schema of a vector."""
    from importlib.resources import files  # noqa: PLC0415  # who writes vectors needs no schema

    text = files("vhost_inflight.vectors").joinpath("vector.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def _hexes(parts: Mapping[str, bytes]) -> dict[str, str]:
    return {name: data.hex() for name, data in parts.items()}


def _bytes(parts: Mapping[str, str]) -> dict[str, bytes]:
    return {name: bytes.fromhex(data) for name, data in parts.items()}


def _position(place: Any) -> Any:
    return place if isinstance(place, int) else {"slot": place[0], "wrap": place[1]}


def _place(told: Any) -> Any:
    return told if isinstance(told, int) else (told["slot"], told["wrap"])


def _answer(told: Any) -> Answer:
    if isinstance(told, list):
        return tuple(
            Lived(
                one["fetched"],
                tuple(map(Store.of, one["stores"])),
                tuple((first, second) for first, second in one["before"]),
            )
            for one in told
        )
    if "refused" in told:
        return Refused(told["refused"])
    return Recovered(
        tuple(r if isinstance(r, int) else (r["entry"], r["id"]) for r in told["resubmit"]),
        _place(told["next_avail"]), _place(told["used"]), told["counter"],
        bytes.fromhex(told["region"]), bytes.fromhex(told["region_mask"]),
        _bytes(told["ring_memory"]), _bytes(told["ring_mask"]),
        tuple(map(tuple, told["chains"])) if "chains" in told else None,
    )  # fmt: skip
