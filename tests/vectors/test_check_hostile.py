"""Check-vectors and adapters that do what nobody expects: how they end, what they leave, what they write."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.refimpl.backend.test_server import wait_for
from tests.vectors import handmade
from tests.vectors.test_check import check, fake, verdicts
from vhost_inflight import telling
from vhost_inflight.vectors.checking import asking, words
from vhost_inflight.vectors.checking.process import Adapter, WedgedError

AT = "split-published"
HOSTILE = Path(__file__).with_name("hostile.py")


def hostile(how: str, at: str = "") -> str:
    """Give the command of such an adapter, at one vector or at all."""
    return shlex.join([sys.executable, str(HOSTILE), how, *([at] if at else [])])


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test have a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _no_child() -> Iterator[None]:
    """End the child that an adapter left."""
    yield
    os.kill(int(Path("child").read_text(encoding="ascii")), signal.SIGKILL)


def junit() -> ET.Element:
    """Read the report for CI."""
    return ET.fromstring(Path("report.xml").read_text(encoding="utf-8"))  # noqa: S314  # our own


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    status, cases = verdicts(hostile("real-time", AT))
    assert cases.pop(AT)["differs"] == ["it was ended by signal 40"]
    assert {other["verdict"] for other in cases.values()} == {"pass"}
    assert not status


def test_what_was_found_is_told_of_an_adapter_that_does_not_start_again() -> None:
    """It is tried twice for all that is left; each vector has a verdict, in every report."""
    ran = check(hostile("starts-once", AT), "--junit", "report.xml", "--json", "report.json")
    assert (ran.returncode, ran.stderr) == (1, "")
    assert Path("starts").read_text(encoding="ascii") == "3"
    told = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert told["counts"] == {"pass": 0, "fail": 0, "reject": 0, "wedged": 4, "unsupported": 0}
    first, *rest = [case["differs"] for case in told["cases"]]
    assert first == ["it ended with exit status 3"]
    again = f"after {AT} the adapter did not start again, 2 times in a row"
    why = f"{sys.executable}: the adapter does not answer to start: it ended with exit status 9"
    assert rest == [[f"it was not asked: {again}", why]] * 3
    assert told["ending"] == f"{again}: {why}; it wrote to standard error:\n  no licence"
    assert f"at the end: {told['ending']}" in ran.stdout
    assert ran.stdout.endswith("the reference of vhost-inflight: 4 vectors: 4 wedged\n")
    assert (junit().get("tests"), junit().get("failures")) == ("5", "5")


def test_what_was_judged_before_stays_judged() -> None:
    _, cases = verdicts(hostile("starts-once", "split-hostile"))
    assert [case["verdict"] for case in cases.values()] == ["pass", "pass", "wedged", "wedged"]


def test_one_start_that_fails_is_tried_again() -> None:
    status, cases = verdicts(hostile("starts-not-twice", AT))
    assert [case["verdict"] for case in cases.values()] == ["wedged", "pass", "pass", "pass"]
    assert not status


@pytest.mark.usefixtures("_no_child")
def test_the_end_of_an_adapter_is_seen_though_a_child_holds_its_pipes() -> None:
    begun = time.monotonic()
    _, cases = verdicts(hostile("leaves-a-child", AT), limit=60)
    assert time.monotonic() - begun < 30
    assert cases.pop(AT)["differs"] == ["it ended with exit status 4"]
    assert {other["verdict"] for other in cases.values()} == {"pass"}


def test_an_answer_is_taken_from_an_adapter_that_ends_with_it() -> None:
    """What it said last is read, and its end is told of the case after that."""
    vectors = handmade.all_of_them()
    said = json.dumps({"id": vectors[0].id, "unsupported": "not yet"})
    with adapter(f"read line; echo {shlex.quote(said)}; exit 6") as asked:
        assert asked.run(vectors[0]).unsupported == "not yet"
        with pytest.raises(WedgedError, match="it ended with exit status 6"):
            asked.run(vectors[1])
        assert "exit status 6" in (asked.stop() or "")


def test_all_of_a_long_answer_is_read_when_its_adapter_has_ended() -> None:
    """One that stands in the pipe whole, and is longer than what is read at once."""
    told = handmade.all_of_them()[0]
    said = json.dumps({"id": told.id, "unsupported": "WHY"})
    speak = (
        "import fcntl; fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20); "
        f"print({said!r}.replace('WHY', 'x' * 300_000), flush=True)"
    )
    with adapter(f"exec {shlex.join([sys.executable, '-c', speak])}") as asked:
        os.waitid(os.P_PID, asked._process.pid, os.WEXITED | os.WNOWAIT)
        assert asked.run(told).unsupported == "x" * 300_000


READY = {"version": 1, "name": "sh", "rings": ["split"], "kinds": ["state"], "revisions": ["merged"]}


def adapter(script: str) -> Adapter:
    """Start a shell that is ready, and then does what a script says."""
    return Adapter(["sh", "-c", f"read line; echo {shlex.quote(json.dumps(READY))}; {script}"], "json", 10)


def test_no_more_is_kept_of_standard_error_than_its_end() -> None:
    """In memory or in a file; and who writes without end has no more time than others."""
    most, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            most[0] = max(most[0], on_disk())

    before, watch = on_disk(), threading.Thread(target=look)
    watch.start()
    try:
        _, cases = verdicts(hostile("floods", AT), limit=2)
    finally:
        over.set()
        watch.join()
    told = cases.pop(AT)["differs"]
    assert told[0] == "no answer within 2 seconds; it wrote to standard error:"
    assert "a line of many" in told[1:]
    assert sum(len(line) + 1 for line in told[1:]) <= words.KEPT
    assert {other["verdict"] for other in cases.values()} == {"pass"}
    assert most[0] - before < 1 << 20


def on_disk() -> int:
    """Give how many bytes the files have that are open here and have no name any more."""
    total = 0
    for link in Path("/proc/self/fd").iterdir():
        try:
            if str(link.readlink()).startswith(tempfile.gettempdir()):
                total += link.stat().st_size
        except OSError:
            continue  # closed meanwhile
    return total


def test_much_that_is_written_at_the_end_stops_nobody() -> None:
    """More than a pipe holds: sanitizers tell of each leak."""
    ran = check(hostile("leaks"), "--limit", "5")
    assert ran.returncode == 1
    assert "it was told to stop, and ended with exit status 4; it wrote to standard error:\n  leaked\n" in ran.stdout


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("escapes", r"the adapter has no answer: \ud800\x1b[31m\x00\x7f\x9b1m\nfail: split-fetched"),
        ("escapes-unsupported", r"\x1b[31m\x00\x7f\x9b1m\nfail: split-fetched"),
        ("escapes-a-key", "is no object with an id and one of answer, unsupported, error"),
        ("escapes-the-id", r"no answer: it answered to "),
        ("obeyed", r"\x1b[31mred\x00"),
    ],
)
def test_no_terminal_obeys_an_adapter_and_no_line_is_forged(how: str, told: str) -> None:
    ran = check(hostile(how, AT), "--junit", "report.xml", "--json", "report.json")
    report: dict[str, Any] = json.loads(Path("report.json").read_text(encoding="utf-8"))
    differs = next(case["differs"] for case in report["cases"] if case["id"] == AT)
    assert told in "\n".join(differs)
    for text in (ran.stdout, *differs, report["adapter"], Path("report.xml").read_text(encoding="utf-8")):
        assert all(one.isprintable() or one == "\n" for one in text)
    for text in (ran.stdout, *junit().itertext()):
        assert "fail: split-fetched" not in text.splitlines()
    assert junit().get("tests") == "4"


def test_no_terminal_obeys_an_adapter_that_does_not_start() -> None:
    said = json.dumps({**READY, "version": "\x7f\x9b"}, ensure_ascii=True)
    ran = check(shlex.join(["sh", "-c", f"echo {shlex.quote(said)}; cat >/dev/null"]))
    assert ran.returncode == 2
    assert r'it speaks version "\x7f\x9b"; version 1 is known here' in ran.stderr


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a\tbé→", "a\tbé→"),
        ("\x1b[0m", r"\x1b[0m"),
        ("\x85\u2028\u202e\r", r"\x85\u2028\u202e\r"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_is_shown_of_words(said: str, shown: str) -> None:
    assert telling.printable(said) == shown


def test_the_end_of_what_was_written() -> None:
    tail = words.Tail()
    assert tail.lines() == []
    for number in range(3000):
        tail.add(f"{number}\n".encode())
    tail.add(b"x" * 10 + b"\n\xff\x00")
    assert tail.lines()[-3:] == ["2999", "xxxxxxxxxx", r"�\x00"]
    tail.add(b"y" * 10000)
    assert tail.lines() == ["y" * words.KEPT]


def test_an_adapter_that_never_answers_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set has thousands of vectors, and each would take the whole limit."""
    monkeypatch.setattr(asking, "_LATE", 2)
    status, cases = verdicts(fake("hangs"), limit=0.2)
    late, given_up = "no answer within 0.2 seconds", "it was not asked: 2 answers in a row, the last to split-fetched, "
    told = [case["differs"][0] for case in cases.values()]
    assert told == [late, late, *[f"{given_up}did not come in time"] * 2]
    ending = json.loads(Path("report.json").read_text(encoding="utf-8"))["ending"]
    assert ending == "the adapter was given up: 2 answers in a row did not come within 0.2 seconds"
    assert not status


def test_one_that_answers_now_and_then_is_asked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_LATE", 2)
    _, cases = verdicts(fake("hangs", AT), limit=1)
    assert [case["verdict"] for case in cases.values()] == ["wedged", "pass", "pass", "pass"]


def test_a_program_that_is_told_to_end_leaves_no_adapter() -> None:
    """As CI does with a job that takes too long."""
    program = [sys.executable, "-m", "vhost_inflight", "check-vectors", "--cmd", hostile("tells-its-pid")]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        try:
            wait_for(Path("pid").exists)
            running.terminate()
            assert running.wait(20) == 128 + signal.SIGTERM
            adapter = int(Path("pid").read_text(encoding="ascii"))
            assert not Path(f"/proc/{adapter}").exists()
            assert running.stderr is not None
            assert running.stderr.read() == ""
        finally:
            running.kill()
