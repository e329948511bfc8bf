"""`recover --did` and `--revision both`: what a back-end did is judged, and two revisions answer at once."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from refimpl.layout import DESC_INDIRECT, DESC_NEXT, DESC_WRITE
from refimpl.memory import store
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import Rig, batch
from tests.test_recover import answered, state
from tests.test_recover_cli import Ask, ask, field_of
from tests.test_recover_doubt import RECORDED, found_at_the_last_start
from vhost_inflight.recover import parse, recover, schema
from vhost_inflight.recover.did import faults

__all__ = ["ask"]


def split() -> dict[str, Any]:
    """Return a split ring with heads 3, 1 and 2 in flight, in this order, fetched up to index 4, after head 0."""
    rig = Rig(revision="merged")
    queue = rig.started()
    rig.fetch(queue, 0, 3, 1, 2)
    queue.supply(batch(0))
    return state(rig)


def packed() -> dict[str, Any]:
    """Return a packed ring of 5 with ids 4 and 1 in flight, in this order, of 2 slots each; its entries 0 and 2."""
    rig = PackedRig(size=5)
    rig.fetch(rig.started(), (4, 2), (1, 2))
    return state(rig)


RIGHT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (split(), {"resubmitted": [3, 1, 2], "next": 4, "counter": 4}),
    (split(), {"resubmitted": [{"head": 3}, 1, 2], "next": {"last_avail": 4}}),
    (split(), {"next": 4}),
    (packed(), {"resubmitted": [0, 2], "next": {"slot": 4, "wrap_counter": 1}, "counter": 2}),
    (packed(), {"resubmitted": [{"id": 4}, {"entry": 2, "id": 1}]}),
    (field_of(PackedRig(), "version", 2), {"refused": True}),
    (packed(), {"resubmitted": [0, 2], "refused": False}),
]
WRONG: list[tuple[dict[str, Any], dict[str, Any], list[tuple[str, int | None]]]] = [
    (split(), {"resubmitted": [1, 2, 3]}, [("order", 3)]),
    (split(), {"resubmitted": [3, 2]}, [("missing", 1)]),
    (split(), {"resubmitted": [3, 1, 2, 0]}, [("too-many", 0)]),
    (split(), {"resubmitted": [3, 1, 1, 2]}, [("twice", 1)]),
    (split(), {"resubmitted": [], "next": 1, "counter": 0},
     [("missing", 3), ("missing", 1), ("missing", 2), ("position", None), ("counter", None)]),
    (split(), {"refused": True}, [("refused", None)]),
    (packed(), {"resubmitted": [{"id": 1}, {"id": 4}]}, [("order", 0)]),
    (packed(), {"resubmitted": [{"id": 4}, {"id": 1}, {"id": 3}]}, [("too-many", None)]),
    (packed(), {"next": {"slot": 4, "wrap_counter": 0}}, [("position", None)]),
    (field_of(PackedRig(), "version", 2), {"resubmitted": []}, [("refused", None)]),
]  # fmt: skip


@pytest.mark.parametrize(("document", "did"), RIGHT)
def test_what_was_done_right(ask: Ask, tmp_path: Path, document: dict[str, Any], did: dict[str, Any]) -> None:
    """Exit 0, and the answer says that nothing was done wrong."""
    (tmp_path / "did.json").write_text(json.dumps(did))
    code, out, _ = ask(document, "--did", str(tmp_path / "did.json"))
    said = json.loads(out)
    Draft202012Validator(schema("output")).validate(said)
    assert (code, said["did"]) == (0, [])


@pytest.mark.parametrize(("document", "did", "wrong"), WRONG)
def test_what_was_done_wrong(
    ask: Ask, tmp_path: Path, document: dict[str, Any], did: dict[str, Any], wrong: list[tuple[str, int | None]]
) -> None:
    """Exit 1; each fault by its kind, with the head or the entry, in the answer and on standard error."""
    (tmp_path / "did.json").write_text(json.dumps(did))
    code, out, err = ask(document, "--did", str(tmp_path / "did.json"))
    said = json.loads(out)
    Draft202012Validator(schema("output")).validate(said)
    assert (code, [(fault["kind"], fault.get("entry")) for fault in said["did"]]) == (1, wrong)
    assert all(f"vhost-inflight: done wrong: {fault['text']}\n" in err for fault in said["did"])


@pytest.mark.parametrize(
    ("did", "why"),
    [
        ([], "[] is no object"),
        ({}, "nothing is said of what was done"),
        ({"resubmit": []}, 'there is no "resubmit" here'),
        ({"resubmitted": 1}, "at resubmitted: 1 is no list"),
        ({"resubmitted": [-1]}, "at resubmitted[0]: -1 names no request"),
        ({"resubmitted": [True]}, "at resubmitted[0]: true names no request"),
        ({"resubmitted": [{"slot": 1}]}, "names no request"),
        ({"next": {"slot": 1}}, "at next: "),
        ({"next": "1"}, "at next: "),
        ({"counter": 1.5}, "at counter: "),
        ({"refused": 1}, "at refused: "),
        ({"refused": True, "next": 1}, "did nothing else"),
    ],
)
def test_what_says_nothing_of_what_was_done(ask: Ask, tmp_path: Path, did: Any, why: str) -> None:
    """Exit 2, one line."""
    (tmp_path / "did.json").write_text(json.dumps(did))
    code, out, err = ask(split(), "--did", str(tmp_path / "did.json"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("vhost-inflight: --did: ")
    assert why in err


def test_v6_names_no_order() -> None:
    """Any order is right."""
    rig = Rig(revision="v6")
    rig.fetch(rig.started(), 0, 3, 1, 2)
    recovery = recover(parse(state(rig)))
    assert faults(recovery, {"resubmitted": [1, 2, 3, 0]}) == []


# Two revisions


def test_two_answers_that_disagree(ask: Ask) -> None:
    """Of erratum whole-ring's bytes: merged gives the device what is used; that is said, and the exit status is 1."""
    document = found_at_the_last_start(RECORDED / "packed/errata/whole-ring.json", revision=False)
    code, out, err = ask(document, "--revision", "both")
    said = json.loads(out)
    Draft202012Validator(schema("output")).validate(said)
    assert (code, said["agree"]) == (1, False)
    assert [(one["revision"], [r["entry"] for r in one["resubmit"]]) for one in said["answers"]] == [
        ("merged", [0]),
        ("hardened", []),
    ]
    assert "revision hardened answers otherwise" in err
    assert "revision merged answers otherwise" in err
    assert said["answers"] == [answered(document, revision=name) for name in ("merged", "hardened")]


@pytest.mark.parametrize("document", [split(), packed()])
def test_two_answers_that_agree(ask: Ask, document: dict[str, Any]) -> None:
    """Exit 0; as lines, too."""
    code, out, _ = ask(document | {"gaps": {"ring-at-start": "wait"}, "revision": "merged"}, "--revision", "both")
    said = json.loads(out)
    assert (code, said["agree"], [one["available"] for one in said["answers"]]) == (0, True, [None, False])
    assert ask(document, "--revision", "both", "--lines")[1] == (
        json.dumps(json.loads(ask(document, "--revision", "both")[1]), separators=(",", ":")) + "\n"
    )


# What a request is, and where the next used element goes


def test_the_used_position() -> None:
    """The index of the used ring; on a packed ring slot and wrap counter."""
    assert answered(split())["used_position"] == {"used_idx": 1}
    rig = PackedRig(size=3)
    queue = rig.started()
    queue.supply(batch(*rig.fetch(queue, (0, 2), (1, 1))))
    assert answered(state(rig))["used_position"] == {"slot": 0, "wrap_counter": 0}
    assert answered(packed())["used_position"] == {"slot": 0, "wrap_counter": 1}


@pytest.mark.parametrize(("kind", "name"), [(0, "read"), (1, "write"), (4, "flush"), (13, "write-zeroes"), (99, 99)])
def test_what_a_request_is(kind: int, name: str | int) -> None:
    """A split chain of header, data and status, whose header was given; without it nothing is said."""
    rig = Rig(revision="merged")
    for entry, (address, length, flags) in enumerate(
        [(0x1000, 16, DESC_NEXT), (0x5000, 1024, DESC_NEXT | DESC_WRITE), (0x6000, 1, DESC_WRITE)]
    ):
        for field, value in (("addr", address), ("len", length), ("flags", flags), ("next", entry + 1)):
            store(rig.ring.desc[entry], field, value)
    store(rig.ring.avail, "idx", 1)
    store(rig.region.desc[0], "inflight", 1)
    for field, value in (("version", 1), ("desc_num", 4)):
        store(rig.region, field, value)
    header = struct.pack("<IIQ", kind, 0, 77)
    document = state(rig)
    (request,) = answered(document)["resubmit"]
    assert "block" not in request
    for cut, told in ((16, {"type": name, "sector": 77, "bytes": 1024}), (15, None)):
        given = document | {"memory": [{"address": 0x1000, "bytes": header[:cut].hex()}]}
        assert answered(given)["resubmit"][0].get("block") == told


def test_what_a_request_in_a_table_is() -> None:
    """Packed: the header in two buffers, of an indirect table."""
    header, rig = struct.pack("<IIQ", 1, 0, 2**40), PackedRig(size=2)
    rig.fetch(rig.started(), (1, 1))
    table = b"".join(
        struct.pack("<QIHH", address, length, 0, flags)
        for address, length, flags in ((0x100, 4, 0), (0x200, 12, 0), (0x300, 512, 0), (0x400, 1, DESC_WRITE))
    )
    entry = rig.region.desc[0]
    for field, value in (("addr", 0x8000), ("len", len(table)), ("flags", entry.flags | DESC_INDIRECT)):
        store(entry, field, value)
    pieces = {0x8000: table, 0x100: header[:4], 0x200: header[4:]}
    memory = [{"address": address, "bytes": piece.hex()} for address, piece in pieces.items()]
    (request,) = answered(state(rig) | {"memory": memory})["resubmit"]
    assert request["block"] == {"type": "write", "sector": 2**40, "bytes": 512}
