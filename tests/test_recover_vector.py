"""`recover ID`: the command that each test vector carries shows what has to be made of its bytes."""

from __future__ import annotations

import io
import json
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from refimpl.errors import UsageError
from tests.test_door import Run, run
from vhost_inflight.recover import schema
from vhost_inflight.recover.asking import Question, document
from vhost_inflight.recover.command import ask
from vhost_inflight.recover.life import life
from vhost_inflight.recover.lines import answer_lines
from vhost_inflight.recover.vector import Named, named, state

__all__ = ["run"]

SMALL = files("vhost_inflight").joinpath("vectors", "small", "vectors.jsonl")
VECTORS = {v["id"]: v for v in map(json.loads, SMALL.read_text(encoding="utf-8").splitlines())}


def test_each_command_names_its_vector() -> None:
    for name, vector in VECTORS.items():
        assert shlex.split(vector["explain"]) == ["vhost-inflight", "recover", "--explain", name]
        assert named(Path(name), None) == Named(name, None)


def test_each_is_answered_as_it_has_to_be() -> None:
    """Refused or not, what the device gets, in order, and where the ring goes on, where one answer is right."""
    compared = 0
    for name, vector in VECTORS.items():
        (answered,) = Question().ask(state(Named(name, None)))
        right = vector["expect"]["one_of"] if vector["kind"] == "state" else []
        if len(right) != 1 or "shared" in vector["given"]:
            continue
        refused = "refused" in right[0]["answer"]
        assert (answered.recovery.refused is not None) == refused, name
        if not refused:
            got, wanted = answered.document, right[0]["answer"]
            assert [r.get("head", r.get("entry")) for r in got["resubmit"]] == [
                w if isinstance(w, int) else w["entry"] for w in wanted["resubmit"]
            ], name
            for told, word in (("fetch_position", "next_avail"), ("used_position", "used")):
                assert [*got[told].values()] == values(wanted[word]), name
            compared += 1
    assert compared > 200


def test_what_each_gives_is_a_state_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is told of the buffer that its region was in, and in a file: that changes no answer."""
    names = {Named(name, None): vector["given"] for name, vector in VECTORS.items()}
    assert {field for given in names.values() for field in given} >= {"stride", "offset", "shared", "queues", "queue"}
    for name, given in names.items():
        Draft202012Validator(schema("input")).validate(given)
        assert document(Question().ask(given)) == document(Question().ask(state(name))), name
    file = tmp_path / "given.json"
    file.write_text(json.dumps(next(given for given in names.values() if "shared" in given)), encoding="utf-8")
    assert ask([str(file)], "recover")
    assert "resubmit" in json.loads(capsys.readouterr().out)


def values(place: Any) -> list[int]:
    return [place] if isinstance(place, int) else [place["slot"], place["wrap"]]


def test_another_file_of_vectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, vector = next(iter(VECTORS.items()))
    path = tmp_path / "vectors.jsonl"
    path.write_text(json.dumps({**vector, "id": "mine"}) + "\n", encoding="utf-8")
    assert ask(["mine", "--vectors", str(path)], "recover")
    assert json.loads(capsys.readouterr().out)["ring"] == vector["ring"]
    with pytest.raises(UsageError, match=f"there is no vector '{name}' in "):
        ask([name, "--vectors", str(path)], "recover")


def test_what_is_none() -> None:
    with pytest.raises(UsageError, match=r"no vector 'split-merged-one-frsh' in the small set.*perhaps: split"):
        ask(["split-merged-one-frsh"], "recover")
    with pytest.raises(FileNotFoundError):
        ask(["none.json"], "recover")
    with pytest.raises(UsageError, match="--vectors is for the id of a vector"):
        ask(["--vectors", "x"], "recover")


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "vectors.jsonl"
    path.write_text("[]\n", encoding="utf-8")
    with pytest.raises(UsageError, match="a line is no vector"):
        ask(["mine", "--vectors", str(path)], "recover")


def test_a_life_is_told_op_by_op(capsys: pytest.CaptureFixture[str]) -> None:
    """What has to come of each, and what must not be late; each trace of the small set can be told."""
    traces = [name for name, vector in VECTORS.items() if vector["kind"] == "trace"]
    for name in traces:
        assert life(VECTORS[name]).count("\nop ") == len(VECTORS[name]["ops"]), name
    ask(["--explain", "packed-hardened-life-chain"], "recover")
    told = capsys.readouterr().out
    assert "op 3, fetch\n    fetches 0\n" in told
    assert "op 8, supply\n    the device has finished 0, 2\n    changes descriptors[1].len := 1, " in told
    assert "    region.old_used_wrap_counter comes after region.old_free_head\n" in told
    race = life(VECTORS["split-merged-race-kick"])
    assert "    right before the store to avail_event the driver stores descriptors[1]" in race
    assert "and notifies\n        the driver" in race
    state_ = next(name for name, vector in VECTORS.items() if vector["kind"] == "state")
    ask(["--explain", state_], "recover")
    assert "op by op" not in capsys.readouterr().out


def test_of_stores_that_come_after_each_other_the_last_is_named() -> None:
    assert life(VECTORS["split-merged-life-one"]).endswith("region.used_idx comes after region.desc[0].inflight")
    told = life(VECTORS["packed-hardened-life-chain"])
    assert "    region.desc[0].inflight comes after descriptors[1].flags\n" in told  # and that after all links


def test_a_folder_of_vectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, vector = next(iter(VECTORS.items()))
    (tmp_path / "vectors.jsonl").write_text(json.dumps(vector) + "\n", encoding="utf-8")
    assert ask([name, "--vectors", str(tmp_path)], "recover")
    assert json.loads(capsys.readouterr().out)["ring"] == vector["ring"]


def test_a_line_may_be_an_id() -> None:
    """The same answer as for its bytes; one that there is not is an error with its number, and the rest goes on."""
    name = "split-merged-one-supply.5"
    lines = [json.dumps(name), json.dumps("split-none"), json.dumps(VECTORS[name]["given"])]
    target = io.StringIO()
    with pytest.raises(UsageError, match="1 of the lines is no state, the first is line 2"):
        answer_lines(io.BytesIO("\n".join(lines).encode()), target, Question())
    by_id, none, by_bytes = map(json.loads, target.getvalue().splitlines())
    assert by_id == by_bytes
    assert "there is no vector 'split-none'" in none["error"]["rule"]


def test_names_of_other_things_lead_on(run: Run) -> None:
    """A run is no state, and a vector no run and no name: each says which command takes it."""
    for arguments, words in (
        (("recover", "packed/errata/whole-ring"), "vhost-inflight replay packed/errata/whole-ring --dump-at crash"),
        (("replay", "split-merged-life-one"), "vhost-inflight recover --explain split-merged-life-one"),
        (("explain", "split-merged-life-one"), "vhost-inflight recover --explain split-merged-life-one"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert words in " ".join(err.replace("│", " ").split()), err
