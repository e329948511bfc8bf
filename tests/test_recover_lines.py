"""`recover --lines`: a line is answered by a line, in order and at once, whatever the lines before it were."""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from refimpl import documents
from tests.refimpl.packed_rig import PackedRig
from tests.test_recover import answered, crash_points, interrupted, state
from vhost_inflight import cli
from vhost_inflight.recover import asking, schema
from vhost_inflight.recover.asking import Question
from vhost_inflight.recover.lines import answer_lines

running = importlib.import_module("vhost_inflight.recover.running")


def broken() -> dict[str, Any]:
    """Return a state that breaks a rule."""
    return state(interrupted()) | {"region_size": 4}


def damaged() -> dict[str, Any]:
    """Return a state whose free list does not end, which is found after many stores."""
    document = state(PackedRig(size=16, revision="hardened"))
    rig = PackedRig(size=16)
    rig.started()
    rig.region.desc[9].next = 3
    return document | {"region": state(rig)["region"]}


def line(document: dict[str, Any]) -> bytes:
    """Write a document as a line."""
    return json.dumps(document).encode() + b"\n"


def ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], lines: bytes, *arguments: str
) -> tuple[int, list[dict[str, Any]], str]:
    """Run the command in this process; give exit status, answers and errors. Each answer is as the schema says."""
    monkeypatch.setattr(sys, "argv", ["vhost-inflight", "recover", "--lines", *arguments])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    answers = [json.loads(one) for one in captured.out.splitlines()]
    for found in answers:
        Draft202012Validator(schema("output")).validate(found)
    return int(ended.value.code or 0), answers, captured.err


def test_each_line_is_answered_in_order(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With what `recover` answers to each alone, the last one's newline missing; exit 0."""
    documents_ = [state(interrupted()), state(PackedRig()), state(interrupted())]
    code, answers, err = ask(monkeypatch, capsys, b"".join(map(line, documents_)).rstrip())
    assert answers == [answered(document) for document in documents_]
    assert (code, err) == (0, "")


@pytest.mark.parametrize("revision", ["", "v6", "merged", "hardened", "both"])
@pytest.mark.parametrize("ring", ["split", "packed"])
def test_a_line_is_the_answer(ring: str, revision: str) -> None:
    """Put together from texts that are kept, it is what JSON makes of the answer, letter by letter; of errors, too."""
    rigs = list(crash_points(ring, revision if revision in {"v6", "merged"} else "hardened", {}))[::7]
    states = [state(rig) for rig in rigs] + [state(interrupted()), broken(), damaged()]
    refused = 0
    for document in states:
        answers = Question(revision).ask(document)
        whole = asking.document(answers)
        refused += any(one.recovery.refused is not None for one in answers)
        assert asking.line(answers) == json.dumps(whole, separators=(",", ":"))
    assert 2 <= refused < len(states)


def test_options_are_for_every_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """--revision and --gap win over each line's, as they do over a file's."""
    code, answers, _ = ask(
        monkeypatch, capsys, line(state(interrupted())) * 2, "--revision", "merged", "--gap", "ring-at-start=wait"
    )
    assert (code, [found["available"] for found in answers]) == (0, [None, None])


def test_a_rule_that_is_broken_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1, and the next line is answered."""
    code, answers, _ = ask(monkeypatch, capsys, line(broken()) + line(state(interrupted())))
    assert (code, answers[0]["error"]["culprit"], "resubmit" in answers[1]) == (1, "front-end", True)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (b"{\n", "no JSON: Expecting property name"),
        (b"\n", "no JSON: it is empty"),
        (b"[1]\n", "at the top: [1] is no object"),
        (b"\xff\xfe\xfd\n", "no JSON"),
        (b'{"format": NaN}\n', "NaN is no number of JSON"),
        (b"[" * 200 + b"]" * 200 + b"\n", "nested more than 100 levels"),
        (b"[" * 200_000 + b"\n", "nested more than 100 levels"),
        (line(state(interrupted()) | {"revision": "v7"}), "there is no revision 'v7'"),
        (line(state(interrupted()) | {"region": "0"}), "at region: no hex"),
        (b" " * 30_000 + b"{}" + b" " * 30_000 + b"\n", "more than 0 MiB"),
        (b"x" * 20_000 + b"\n", "more than 0 MiB"),
    ],
)
def test_a_line_that_is_no_state_ends_nothing(
    wrong: bytes, rule: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is answered by an error with its number and the reason; the lines around it have their answers; exit 2."""
    if "MiB" in rule:
        monkeypatch.setattr(documents, "_BYTES_MAX", 10_000)  # as if no document were as long
    right = line(state(interrupted()))
    code, answers, err = ask(monkeypatch, capsys, right + wrong + right)
    assert [found.get("line") for found in answers] == [None, 2, None]
    assert rule in answers[1]["error"]["rule"]
    assert answers[0] == answers[2] == answered(state(interrupted()))
    assert (code, err) == (2, "vhost-inflight: 1 of the lines is no state, the first is line 2\n")


def test_a_service_through_pipes() -> None:
    """An answer is there before the next line is sent, and the process lives until its input ends."""
    command = [sys.executable, "-m", "vhost_inflight", "recover", "--lines"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=buffered) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for document in (state(interrupted()), broken(), state(PackedRig())):
            process.stdin.write(line(document))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["format"] == "vhost-inflight recovery 1"
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(10) == 1


@pytest.mark.parametrize("other", ["--explain", "--json=x"])
def test_what_lines_are_not_told_with(
    other: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No story, no file."""
    code, answers, err = ask(monkeypatch, capsys, b"", other)
    assert (code, answers) == (2, [])
    assert "no --explain, no --json" in err


def test_nothing_is_left_for_the_collector() -> None:
    """A process that answers for days frees an answer when it is written, and not when Python looks for circles."""
    lines = (line(state(interrupted())) + line(state(PackedRig()))) * 4
    answer_lines(io.BytesIO(lines), io.StringIO(), Question())
    gc.collect()
    gc.disable()
    try:
        answer_lines(io.BytesIO(lines), io.StringIO(), Question())
        assert gc.collect() < 8
    finally:
        gc.enable()


def test_stores_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the answers are the same; what is kept of all states that were ever asked about has a bound."""
    asked = line(state(PackedRig()))
    before, after = io.StringIO(), io.StringIO()
    answer_lines(io.BytesIO(asked), before, Question())
    monkeypatch.setattr(running, "_STORES", {})
    monkeypatch.setattr(running, "_STORES_MAX", 3)
    answer_lines(io.BytesIO(asked * 2), after, Question())
    assert after.getvalue() == before.getvalue() * 2
    assert len(running._STORES) <= 3
    assert running._unchanged.cache_info().maxsize == 8
