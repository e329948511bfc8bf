"""The command `recover`: what it prints, how it refuses, whom it blames, and the story that it tells."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from refimpl.layout import DESC_INDIRECT, DESC_NEXT, DESC_WRITE
from refimpl.memory import store
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import Rig
from tests.test_recover import answered, interrupted, state
from vhost_inflight import cli
from vhost_inflight.recover import GivenError, load, parse, recover, schema, story

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run the command in this process on a document; give exit code, output and errors."""

    def asks(document: Any, *arguments: str) -> tuple[int, str, str]:
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        monkeypatch.setattr(sys, "argv", ["vhost-inflight", "recover", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return asks


def served(*chains: tuple[int, int]) -> PackedRig:
    """Return a packed rig with chains in flight, each an id and a number of descriptors."""
    rig = PackedRig(revision="merged", size=5)
    rig.fetch(rig.started(), *chains)
    return rig


def field_of(rig: Rig | PackedRig, name: str, value: int, entry: int | None = None) -> dict[str, Any]:
    """Return the state of a rig with one field of its region changed."""
    store(rig.region if entry is None else rig.region.desc[entry], name, value)
    return state(rig)


def chain_of(flags: int, length: int = 16, following: int = 0) -> dict[str, Any]:
    """Return a split ring with head 2 in flight, whose descriptor the driver changed since."""
    rig = interrupted()
    for name, value in (("flags", flags), ("len", length), ("next", following)):
        store(rig.ring.desc[2], name, value)
    return state(rig)


def chain_at(address: int) -> dict[str, Any]:
    """Return a split ring with head 2 in flight, whose descriptor points elsewhere since."""
    rig = interrupted()
    store(rig.ring.desc[2], "addr", address)
    store(rig.ring.desc[2], "len", 16)
    return state(rig)


def packed_chain_of(*flags: int) -> dict[str, Any]:
    """Return a packed ring with a chain in flight whose descriptors had these flags."""
    rig = served((1, len(flags)))
    for number, value in enumerate(flags):
        store(rig.region.desc[number], "flags", value)
    return state(rig)


def avail_idx_ahead() -> dict[str, Any]:
    """Return a split ring whose available index is too far ahead."""
    rig = interrupted()
    store(rig.ring.avail, "idx", 100)
    return state(rig)


def cut(part: str, number: int) -> dict[str, Any]:
    """Return a split state with bytes missing at the end of one part."""
    document = state(interrupted())
    place = document if part == "region" else document["ring_memory"]
    place[part] = place[part][: -2 * number]
    return document


BROKEN: list[tuple[dict[str, Any], str, str]] = [
    (field_of(interrupted(), "version", 2), "back-end", "version is 2"),
    (field_of(interrupted(), "desc_num", 4), "back-end", "desc_num is 4; the region has 8"),
    (field_of(interrupted(), "used_idx", 0xFFF0), "back-end", "a batch longer than the ring"),
    (field_of(interrupted(), "last_batch_head", 9), "back-end", "leads to entry 9 of 8"),
    (field_of(interrupted(), "inflight", 2, 0), "back-end", "inflight field of entry 0 is 2"),
    (field_of(interrupted(), "counter", 2**64 - 1, 0), "back-end", "at its end"),
    (field_of(served((1, 2)), "used_idx", 5), "back-end", "used_idx is 5, more than 4"),
    (field_of(served((1, 2)), "old_used_wrap_counter", 2), "back-end", "old_used_wrap_counter is 2"),
    (field_of(served((1, 2)), "next", 4, 4), "back-end", "does not end after 5"),
    (field_of(served((1, 2)), "num", 0, 0), "back-end", "num of entry 0 is 0"),
    (field_of(served((1, 2)), "next", 7, 0), "back-end", "leads to entry 7"),
    (
        field_of(
            served(
                (1, 5),
            ),
            "last",
            9,
            0,
        ),
        "back-end",
        "last of entry 0 leads to entry 9",
    ),
    (chain_of(DESC_NEXT, following=2), "driver", "head 2: the chain is longer than the ring's 8 entries, or loops"),
    (chain_of(DESC_NEXT, following=8), "driver", "head 2: next is 8 in a table of 8"),
    (chain_of(DESC_INDIRECT | DESC_NEXT), "driver", "both indirect and followed by a next"),
    (chain_of(DESC_INDIRECT, 17), "driver", "17 bytes, not a multiple of 16"),
    (chain_at(2**64 - 8), "driver", "16 bytes at 0xfffffffffffffff8 leave the 64 bits of an address"),
    (avail_idx_ahead(), "driver", "avail.idx is 100: 91 past 9"),
    (
        packed_chain_of(DESC_WRITE | DESC_NEXT, 0),
        "driver",
        "entry 0: a buffer to be read comes after one to be written",
    ),
    (packed_chain_of(DESC_INDIRECT, 0), "driver", "an indirect descriptor is not alone"),
    (state(interrupted()) | {"queue_size": 6}, "front-end", "a split ring of 6 entries is not allowed"),
    (state(served()) | {"queue_size": 0}, "front-end", "a packed ring of 0 slots is not allowed"),
    (
        state(interrupted()) | {"region_size": 4},
        "front-end",
        "the ring has 8 entries, its region 4; it has to have as many",
    ),
    (state(served()) | {"region_size": 4}, "front-end", "the ring has 5 entries, its region 4"),
    (state(interrupted()) | {"region_size": 40000}, "front-end", "a region of 40000 entries is not allowed"),
    (state(interrupted()) | {"region_size": 12}, "front-end", "a region of 12 entries needs 208 bytes, there are 192"),
    (state(interrupted()) | {"region": ""}, "front-end", "needs 144 bytes, there are 0"),
    (cut("region", 49), "front-end", "needs 144 bytes, there are 143"),
    (state(interrupted("v6")) | {"revision": "merged"}, "front-end", "there are 64 (a region of v6, which has smaller"),
    (cut("descriptors", 1), "front-end", "descriptors of a split ring of 8 needs 128 bytes, there are 127"),
    (cut("available", 3), "front-end", "available of a split ring of 8 needs 20 bytes, there are 19"),
    (cut("used", 4), "front-end", "used of a split ring of 8 needs 68 bytes, there are 66"),
    (state(interrupted()) | {"memory": [{"address": 4096, "bytes": ""}]}, "front-end", "is not possible"),
    (state(interrupted()) | {"memory": [{"address": 1, "bytes": "0000"}] * 2}, "front-end", "overlap"),
]


def test_a_chain_longer_than_its_region_is_an_answer() -> None:
    """It is seen when recovery is done, in the look for the next request: what was recovered is told."""
    rig = PackedRig({"region-size": "smaller"}, revision="merged", size=4, entries=2)
    rig.started()
    rig.make((0, 3))
    said = answered(state(rig) | {"region_size": 2})["error"]
    assert said["culprit"] == "front-end"
    assert said["rule"].startswith("a chain has 3 descriptors, the region 2 entries")


@pytest.mark.parametrize(("document", "culprit", "rule"), BROKEN)
def test_broken_bytes_are_exit_1(ask: Ask, document: dict[str, Any], culprit: str, rule: str) -> None:
    """The rule and who broke it: as JSON with --json, in words on standard error, and at the end of the story."""
    code, out, err = ask(document, "--json", "-")
    said = json.loads(out)
    Draft202012Validator(schema("output")).validate(said)
    assert (code, said["error"]["culprit"]) == (1, culprit)
    assert rule in said["error"]["rule"]
    assert culprit != "front-end" or said["error"]["where"]["after"] is None
    assert said["error"]["rule"] in err
    code, out, err = ask(document)
    assert (code, out) == (1, "")
    who = "the region: " if culprit == "back-end" else f"the {culprit}: "
    assert err.startswith(f"vhost-inflight: {who}")
    assert err.count("\n") == 1
    code, out, _ = ask(document, "--explain")
    assert code == 1
    assert f"To blame: the {culprit}" in " ".join(out.split())
    assert rule in " ".join(out.split())


def test_the_help_says_what_brings_the_json_of_a_broken_rule(ask: Ask, tmp_path: Path) -> None:
    """Each of these options does, and without them standard error is all."""
    did = tmp_path / "did.json"
    did.write_text('{"refused": true}', encoding="utf-8")
    told = tmp_path / "told.json"
    ways = {"--json": str(told), "--lines": "", "--did": str(did), "--revision": "both"}
    broken = field_of(interrupted(), "version", 2)
    for option, value in ways.items():
        _, out, _ = ask(broken, *[word for word in (option, value) if word])
        assert '"culprit"' in (told.read_text(encoding="utf-8") if option == "--json" else out), option
    assert ask(broken)[:2] == (1, "")
    _, said, _ = ask(broken, "--help")
    assert (
        "on standard error; the JSON has it too, and is then written only with --json FILE or -, --lines, --did or "
        "--revision both"
    ) in " ".join(said.split())


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"format": "x"}, 'at format: "x", and not "vhost-inflight state 1": this is no state'),
        ({"ring": "round"}, 'at ring: "round" is none of split, packed'),
        ({"queue_size": -1}, "at queue_size: -1 is no whole number from 0 to 65535"),
        ({"queue_size": True}, "at queue_size: true is no whole number"),
        ({"region": "0g"}, 'at region: no hex: "g" is character 1 of it'),
        ({"region": "000"}, "at region: no hex: 3 characters, not a multiple of 2"),
        ({"region": "é"}, "at region: no hex"),
        ({"region": "AAA", "encoding": "base64"}, "at region: no base64: 3 characters, not a multiple of 4"),
        ({"region": "A=AA", "encoding": "base64"}, "at region: no base64: the padding (=)"),
        ({"ring_memory": {}}, "at ring_memory: descriptors is missing"),
        ({"ring_memory": {"descriptors": "", "available": "0", "used": ""}}, "at ring_memory.available: no hex"),
        ({"ring": "packed"}, 'at ring_memory: there is no "available" here; there are: descriptors, driver_event'),
        ({"memory": [{"address": 0, "bytes": "0"}]}, "at memory[0].bytes: no hex"),
        ({"memory": [{"address": 2**64, "bytes": ""}]}, "at memory[0].address"),
        ({"surplus": 1}, 'at the top: there is no "surplus" here; there are: format, ring'),
        ({"revision": "v7"}, "there is no revision 'v7'"),
        ({"gaps": {"free-list": "zeroed"}}, "gap free-list is one of the packed ring, not of the split ring"),
        ({"gaps": []}, "at gaps: [] is no object"),
        ({"memory": {}}, "at memory: {} is no list"),
        ({"format": "vhost-inflight schedule 1"}, "a schedule is for `replay`"),
    ],
)
def test_what_is_no_state_is_exit_2(ask: Ask, change: dict[str, Any], place: str) -> None:
    """One line on standard error, with the place in the document."""
    code, out, err = ask(state(interrupted()) | change)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert place in err
    assert len(err) < 400


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[]", b"[" * 100_000, b'{"format": 1, "format": 1}', b"[NaN]"])
def test_what_is_no_json_is_exit_2(ask: Ask, text: bytes) -> None:
    """Neither is a document of another form."""
    code, out, err = ask(text)
    assert (code, out) == (2, "")
    assert err.startswith("vhost-inflight: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--explain", "--json", "-"), "--explain and --json - both want standard output"),
        (("--gap", "reset"), "--gap wants NAME=CHOICE"),
        (("--gap", "resubmit-order=any"), "gap resubmit-order is open in revision v6 only"),
        (("--revision", "v7"), "there is no revision 'v7'"),
        (("--schema", "both"), "there is no schema 'both'"),
    ],
)
def test_bad_usage_is_exit_2(ask: Ask, arguments: tuple[str, ...], message: str) -> None:
    """What is wrong is said, nothing is printed."""
    code, out, err = ask(state(interrupted()), *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_help(ask: Ask) -> None:
    """It names the command, and what goes in and out."""
    code, out, _ = ask(b"", "--help")
    assert code == 0
    assert "vhost-inflight recover" in out
    assert "JSON in, JSON out" in " ".join(out.split())


def test_where_the_answer_goes(ask: Ask, tmp_path: Path) -> None:
    """To standard output, or to a file; beside a file the story may go to standard output."""
    document, file = state(interrupted()), tmp_path / "answer.json"
    wanted = answered(document)
    code, out, err = ask(document)
    assert (code, json.loads(out), err) == (0, wanted, "")
    assert json.loads(ask(document, "--json", "-")[1]) == wanted
    assert ask(document, "--json", str(file)) == (0, "", "")
    assert json.loads(file.read_text()) == wanted
    assert ask(document, "--explain", "--json", str(file))[1].startswith("A split ring of 8")
    broken = ask(BROKEN[0][0], "--json", str(file))
    assert broken[:2] == (1, "")
    assert "error" in json.loads(file.read_text())


@pytest.mark.parametrize("name", ["input", "output"])
def test_the_schemas_are_printed(ask: Ask, name: str) -> None:
    """And are schemas."""
    code, out, _ = ask(b"", "--schema", name)
    assert code == 0
    Draft202012Validator.check_schema(json.loads(out))


def test_options_win_over_the_input(ask: Ask) -> None:
    """The revision decides how the bytes are read; a gap's choice is told in the answer."""
    document = state(interrupted("v6")) | {"revision": "merged", "gaps": {"signal-at-start": "always"}}
    code, out, _ = ask(document, "--revision", "v6", "--gap", "signal-at-start=never")
    said = json.loads(out)
    assert (code, said["revision"], said["gaps"], said["signal"]) == (0, "v6", {"signal-at-start": "never"}, False)
    assert said["counter"] is None
    assert [request["head"] for request in said["resubmit"]] == [0, 2]


def test_encodings_and_white_space() -> None:
    """The same bytes in hex with white space, in capitals, or in base64, give the same answer."""
    document = state(interrupted())
    wanted = answered(document)
    spaced = document | {"region": " \n".join(document["region"].upper())}
    assert answered(spaced) == wanted
    coded = {name: base64.b64encode(bytes.fromhex(part)).decode() for name, part in document["ring_memory"].items()}
    region = base64.b64encode(bytes.fromhex(document["region"])).decode()
    assert answered(document | {"encoding": "base64", "region": region, "ring_memory": coded}) == wanted


def test_what_may_be_left_out() -> None:
    """Event areas and indexes are not read; more than the region needs is kept as it is."""
    document = state(interrupted())
    wanted = answered(document)
    for part in ("available", "used"):
        document["ring_memory"][part] = document["ring_memory"][part][:-4]
    document["region"] += "ab" * 9
    assert answered(document) == wanted | {"region_after": wanted["region_after"] + "ab" * 9}
    packed = state(served((1, 2)))
    wanted = answered(packed, revision="hardened")
    del packed["ring_memory"]["driver_event"], packed["ring_memory"]["device_event"], packed["revision"]
    assert answered(packed) == wanted


def test_a_region_larger_than_the_ring() -> None:
    """Its entries are counted by region_size, as the reference judges them."""
    rig = Rig(size=4, entries=8)
    rig.fetch(rig.started(), 3)
    document = state(rig)
    assert answered(document)["error"]["culprit"] == "back-end"
    assert answered(document | {"region_size": 8})["resubmit"][0]["head"] == 3


def test_indirect_tables() -> None:
    """A table is listed where its bytes were given, and checked; the data may be missing."""
    link = (0x9000).to_bytes(8, "little") + (32).to_bytes(4, "little") + DESC_NEXT.to_bytes(2, "little")
    table = link + b"\1\0" + (0xA000).to_bytes(8, "little") + (1).to_bytes(4, "little") + b"\2\0\0\0"
    document = chain_of(DESC_INDIRECT, 32)
    (head, *_) = answered(document)["resubmit"]
    assert head["descriptors"] == [{"addr": 0x1002, "len": 32, "flags": 4}]
    told = " ".join(story(recover(parse(document))).split())
    assert "The device gets 1 descriptor, indirect; its table was not given." in told
    document["memory"] = [{"address": 0x1000, "bytes": "0000" + table.hex()}]
    (head, *_) = answered(document)["resubmit"]
    inner = [{"addr": 0x9000, "len": 32, "flags": 1}, {"addr": 0xA000, "len": 1, "flags": 2}]
    assert head["descriptors"] == [{"addr": 0x1002, "len": 32, "flags": 4, "table": inner}]
    told = " ".join(story(recover(parse(document))).split())
    assert "The device gets 1 descriptor, indirect, 2 in its table." in told
    document["memory"][0]["bytes"] = "0000" + (table[:14] + b"\7" + table[15:]).hex()
    assert "next is 7 in a table of 2" in answered(document)["error"]["rule"]


def test_indirect_tables_of_a_packed_ring() -> None:
    """They are in order, without links."""
    content = ((1).to_bytes(8, "little") + (16).to_bytes(4, "little") + bytes(4)) * 32
    rig = served((1, 1))
    store(rig.region.desc[0], "flags", DESC_INDIRECT)
    store(rig.region.desc[0], "len", 32)
    (request,) = answered(state(rig))["resubmit"]
    assert request["descriptors"] == [{"addr": 0x1000, "len": 32, "flags": 4, "id": 1}]
    (request,) = answered(state(rig) | {"memory": [{"address": 0x1000, "bytes": content.hex()}]})["resubmit"]
    assert request["descriptors"][0]["table"] == [{"addr": 1, "len": 16, "flags": 0, "id": 0}] * 2


def test_a_process_without_a_terminal_or_the_model() -> None:
    """The command as it is installed; neither the solver nor rich nor the tables of the model are imported."""
    command = [sys.executable, "-X", "importtime", "-m", "vhost_inflight", "recover", "--explain"]
    text = json.dumps(state(interrupted()))
    ran = subprocess.run(command, check=False, input=text, capture_output=True, text=True)
    assert ran.returncode == 0
    assert ran.stdout.startswith("A split ring of 8")
    imported = {line.split("|")[-1].strip() for line in ran.stderr.splitlines()}
    assert "vhost_inflight.recover.record" in imported
    assert not {"z3", "rich", "model.steps", "model.protocol"} & imported


def test_only_the_form_is_checked_when_reading() -> None:
    """Numbers that JSON writes with a fraction of zero are whole; the bytes are left to the reference."""
    document = state(interrupted()) | {"queue_size": 8.0}
    assert load(json.dumps(document).encode()).queue_size == 8
    with pytest.raises(GivenError, match="at queue_size"):
        parse(document | {"queue_size": 8.5})
