"""The targets beside the back-end: the front-end, a migration's stream, the oracle, and schedules."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import os
import socket
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from model.terms import ModelError
from refimpl.backend.dump import ring_parts
from refimpl.errors import BackEndError, FrontEndError, InflightError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.inflight import HeldInflight
from refimpl.frontend.migration import BUFFER, DEVICE, header
from refimpl.frontend.migration import load as load_subsection
from refimpl.wire.codec import Message, Request, encode
from refimpl.wire.features import FEATURES, PROTOCOL_FEATURES, PROTOCOL_STATUS, RING_PACKED
from refimpl.wire.payload import (
    ConfigSpace,
    Inflight,
    Number,
)
from refimpl.wire.transport import Connection, Disconnected
from tests.fuzz.world import WRONG_FILES, Source, chosen_rig, send, spoil, world
from vhost_inflight.judging.play.replay import replay
from vhost_inflight.judging.play.schedule import parse as parse_schedule
from vhost_inflight.recover import answer, load, recover, schema, story

# The other two readers: the front-end, and the oracle


def _replies(source: Source, features: int, *, again: bool) -> list[tuple[bytes, list[str]]]:
    """Give what a back-end says until a device has started, and then perhaps spoil it."""
    size = source.pick((192, 4096, 4096, source.number(8)))
    offset = source.pick((0, 0, 0, 4096, source.number(8)))
    asked = Message(Request.GET_INFLIGHT_FD, Inflight(size, offset, source.number(2), source.number(2)), reply=True)
    numbers = (
        (Request.GET_FEATURES, features),
        (Request.GET_PROTOCOL_FEATURES, PROTOCOL_FEATURES | PROTOCOL_STATUS),
        (Request.GET_QUEUE_NUM, 2),
        (Request.GET_MAX_MEM_SLOTS, source.number() % 3),
        (Request.SET_BACKEND_REQ_FD, 0),
        (Request.GET_FEATURES, features),
    )
    said: list[tuple[Message, list[str]]] = [(Message(r, Number(n), reply=True), []) for r, n in numbers]
    if not again:
        said.append((Message(Request.GET_CONFIG, ConfigSpace(0, 0, bytes(60)), reply=True), []))
    statuses = [
        (Message(Request.GET_STATUS, Number(source.pick((status, status, source.number(8)))), reply=True), list[str]())
        for status in (0, 8)
    ]
    said += [statuses[0], (asked, ["buffer"]), statuses[1], (Message(Request.ADD_MEM_REG, Number(0), reply=True), [])]
    spoiled = []
    for message, files in said:
        data = bytearray(encode(message))
        if source.number() > 243:
            data[source.number(2) % len(data)] ^= source.number()
        wrong = [source.pick(WRONG_FILES) for _ in range(source.number() % 10)] if source.number() > 243 else files
        if source.number() < 250:
            spoiled.append((bytes(data), wrong))
    return spoiled


def frontend(data: bytes) -> int:
    """Connect, start and resume with a back-end that answers anything; the shared buffer may come from anywhere."""
    source = Source(data)
    packed, again = source.pick((False, True)), source.pick((False, True))
    _, ram, files = world(packed)
    said = _replies(source, FEATURES | (RING_PACKED if packed else 0), again=again)
    ours, theirs = socket.socketpair()
    with theirs, FrontEnd(Path(os.devnull), ram) as front_end:
        front_end.connection = Connection(ours, replies=True, timeout=0)
        for message, names in said:
            send(theirs, message, [files[name] for name in names])
        with contextlib.suppress(BackEndError, Disconnected):
            front_end._negotiate(again=again)
            front_end.start()
            if front_end.inflight is not None:
                bytes(front_end.inflight.view())
            front_end.lost()
    return max(1, len(said))


def stream(data: bytes) -> int:
    """Load a migration's streams, of any bytes, into a front-end that has a shared buffer, or has none."""
    source = Source(data)
    with HeldInflight() as held:
        if source.pick((False, True)):
            held.resize(64)
        size = source.pick((0, 64, 128, source.number(8), source.number(3)))
        with contextlib.suppress(FrontEndError):
            held.load(io.BytesIO(size.to_bytes(8, "big") + data[2:]), 1)
        entries = source.pick((4, 8, source.number(2)))
        fields = size.to_bytes(8, "big") + entries.to_bytes(2, "big")
        begun = source.pick((b"", header(*DEVICE) + fields, header(*DEVICE) + fields + header(*BUFFER)))
        with contextlib.suppress(FrontEndError):
            load_subsection(held, io.BytesIO(begun + data[2:]), 1, source.pick(("split", "packed")))
        if held.memory is not None:
            assert len(bytes(held.memory.view())) == held.memory.size
    return 1


_VALUES: tuple[Any, ...] = (None, True, -1, 0, 1, 4, 65536, 1 << 70, 0.5, "", "zz", "0" * 64, [], {}, "v6", "hardened")


def oracle(data: bytes) -> int:
    """Ask what is to be made of any state: its bytes spoiled, its fields of any type, its JSON cut."""
    source = Source(data)
    rig, _ = chosen_rig(source)
    spoil(source, rig.view)
    document: dict[str, Any] = {
        "format": "vhost-inflight state 1", "ring": rig.choices.ring, "revision": rig.choices.revision,
        "queue_size": source.pick((4, 4, 4, 2, source.number(2))), "region": bytes(rig.region).hex(),
        "ring_memory": {name: part.hex() for name, part in ring_parts(rig.ring).items()},
        "memory": [{"address": source.number(8), "bytes": source.take(32).hex()}],
    }  # fmt: skip
    if source.number() < 60:
        document[source.pick([*document, "gaps", "encoding", "region_size"])] = source.pick(_VALUES)
    text = bytearray(json.dumps(document).encode())
    if source.number() < 30:
        text[source.number(2) % len(text)] = source.number()
    with contextlib.suppress(InflightError):
        given = load(bytes(text))
        recovery = recover(given)
        validator().validate(answer(recovery))
        assert story(recovery)
    return 1


@functools.cache
def _schedules() -> list[dict[str, Any]]:
    """Give recorded schedules: of either ring, on memory and on the model."""
    recorded = Path(__file__).parents[2] / "proofs" / "recorded"
    names = ("split/counterexamples/v6-order", "packed/errata/whole-ring", "packed/errata/half-rolled-back")
    return [json.loads((recorded / f"{name}.json").read_text(encoding="utf-8")) for name in names]


def schedule(data: bytes) -> int:
    """Play any schedule: one that was recorded, with events dropped, exchanged or added, and fields of any type."""
    source = Source(data)
    document = copy.deepcopy(source.pick(_schedules()))
    events: list[Any] = document["schedule"]
    steps = sorted({event[0] for event in events} | {"crash", "driver.reset", "device.finish", "connection.kick"})
    for _ in range(source.number() % 4):
        place, event = (
            source.number(2) % (len(events) + 1),
            [source.pick(steps), *([0], [1], [source.number()], [])[source.number() % 4]],
        )
        events[place : place + source.pick((0, 1, 1, 9))] = [event][: source.number() % 2]
    if source.number() < 60:
        document[source.pick([*document, "witness", "notifications"])] = source.pick(_VALUES)
    with contextlib.suppress(InflightError, ModelError):
        played = replay(parse_schedule(document))
        assert played.verdict()
    return 1


@functools.cache
def validator() -> Draft202012Validator:
    """Give what checks an answer's form."""
    return Draft202012Validator(schema("output"))
