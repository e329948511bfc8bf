"""The command: exit codes, reports in three forms, a case again, and what it says where it cannot try anything."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from refimpl.errors import InflightError
from tests.conformance import c
from tests.conformance.c import inflight
from tests.meet.test_crash_faults import as_at_a_terminal
from tests.refimpl.backend.test_server import wait_for
from vhost_inflight.conformance import command, ptrace
from vhost_inflight.conformance.command import Asked
from vhost_inflight.reports import shipped_schema

AT = ["--backend-cmd", "x {socket} {image}", "--at", "split-mixed-3-after"]


def test_a_right_one_is_told_so(programs: Path, tmp_path: Path) -> None:
    files = {form: tmp_path / f"report.{form}" for form in ("json", "junit", "html")}
    options = [word for form, file in files.items() for word in (f"--{form}", str(file))]
    ran = inflight("conformance", "--backend-cmd", c.command(programs), "--ring", "split", "--load", "in-use", *options)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("split, judged as merged: 118 cases, 118 pass")
    document = json.loads(files["json"].read_text(encoding="utf-8"))
    jsonschema.validate(document, shipped_schema("vhost_inflight.conformance"))
    (ring,) = document["rings"]
    assert (ring["how"], ring["points"], len(ring["cases"])) == ("exact", {"in-use": 39}, 118)
    assert ring["cases"][1]["deaths"][0]["function"] == "split_start"
    assert ET.fromstring(files["junit"].read_text(encoding="utf-8")).get("tests") == "118"  # noqa: S314  # our own
    assert "No failure" in files["html"].read_text(encoding="utf-8")
    for text in (ran.stdout, *(files[form].read_text(encoding="utf-8") for form in ("html", "junit"))):
        assert "exact: killed at its stores, by ptrace; stores by load: in-use 39" in text


def test_a_failure_is_told_and_repeated_and_shown(programs: Path, tmp_path: Path) -> None:
    files = {form: tmp_path / f"report.{form}" for form in ("json", "junit", "html", "state")}
    options = [word for form, file in files.items() for word in (f"--{form}", str(file))]
    told = c.command(programs, "SETTLED_BEFORE_CLEARED")
    ran = inflight(
        "conformance", "--backend-cmd", told, "--ring", "split", "--load", "in-use", "--failures", "3", *options
    )
    assert ran.returncode == 1
    assert "split in-use: left after so many failures" in ran.stdout
    assert "killed after region.used_idx := 65535, by split_supply (recover.c:" in ran.stdout
    document = json.loads(files["json"].read_text(encoding="utf-8"))
    jsonschema.validate(document, shipped_schema("vhost_inflight.conformance"))
    (ring,) = document["rings"]
    bad = [case for case in ring["cases"] if case["verdict"] != "pass"]
    assert [case["verdict"] for case in bad] == ["fail"] * 3
    suite = ET.fromstring(files["junit"].read_text(encoding="utf-8"))  # noqa: S314  # our own
    assert suite.get("failures") == "3"
    picture = files["html"].read_text(encoding="utf-8")
    assert picture.count("<details>") == 3
    assert "SIGKILL" in picture
    assert "http" not in picture, "a single file, that loads nothing"
    again = ran.stdout.splitlines()[-1].removeprefix("again: vhost-inflight ")
    repeated = inflight(*shlex.split(again))
    assert repeated.returncode == 1
    assert "split, judged as merged: 1 case, 1 fail" in repeated.stdout
    shown = inflight("recover", "--explain", str(files["state"]))
    assert "used_idx" in shown.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--backend-cmd", "x {socket}"], "the command has no {image}"),
        (["--backend-cmd", "'x {socket} {image}"], "the command cannot be read"),
        (["--backend-cmd", "/nowhere/x {socket} {image}"], "the back-end does not start: No such file"),
        (["--backend-cmd", "true {socket} {image}"], "ended with exit status 0 before it listened"),
        (["--backend-cmd", "x {socket} {image}", "--at", "mixed-1"], "mixed-1 is no case"),
        ([*AT, "--ring", "packed"], "split-mixed-3-after is on a split ring, and --ring packed asks for another"),
        ([*AT, "--load", "queues"], "is under the load mixed, and --load queues asks for another"),
        ([*AT, "--random"], "is no case that dies at a random time, and --random asks for such"),
        (["--backend-cmd", "x {socket} {image}", "--load", "heavy"], "there is no load 'heavy'"),
        (["--backend-cmd", "x {socket} {image}", "--html", "-"], "need a file"),
    ],
)
def test_what_cannot_be_tried_is_told_in_a_line(options: list[str], told: str) -> None:
    ran = inflight("conformance", *options)
    assert ran.returncode == 2
    assert told in " ".join(ran.stderr.replace("│", " ").split())
    assert "Traceback" not in ran.stderr


def test_without_tracing_it_dies_at_random_times(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_thread: int) -> None:
        raise ptrace.TracingError("Operation not permitted")

    monkeypatch.setattr(ptrace, "attach", refused)
    asked = Asked(c.command(programs), ring="split", loads=["mixed"], kills=6)
    report = command.tried(asked)
    (ring,) = report.rings
    assert "Operation not permitted" in ring.how
    assert [str(verdict.case) for verdict in ring.verdicts[1:]] == [f"split-mixed-random-{n}" for n in range(1, 7)]
    assert report.passed
    case = replace(asked, at="split-mixed-3-after")
    with pytest.raises(InflightError, match=r"not permitted; split-mixed-3-after .* cannot be repeated without ptrace"):
        command.tried(case)
    (ring,) = command.tried(replace(asked, at="split-mixed-random-3")).rings
    assert ring.how == "as asked for"


def test_no_limit_of_failures_is_no_limit(programs: Path) -> None:
    asked = Asked(c.command(programs, "SETTLED_BEFORE_CLEARED"), ring="split", loads=["in-use"], failures=0)
    (ring,) = command.tried(asked).rings
    assert (len(ring.verdicts), ring.left) == (118, [])


def test_random_kills_find_a_bad_mistake(programs: Path) -> None:
    """Most of a life with this mistake is fatal."""
    asked = Asked(c.command(programs, "LAST_AVAIL_FROM_BASE"), ring="split", loads=["mixed"], random=True, kills=40)
    assert not command.tried(asked).passed


def test_another_program_finds_what_the_first_one_left(programs: Path) -> None:
    """The second one believes marks of what the first one published: both orders are tried, and repeated as told."""
    right, wrong = c.command(programs), c.command(programs, "FREE_NOT_CLEARED")
    case = ["--ring", "packed", "--load", "mixed", "--failures", "1", "--second", "0"]
    ran = inflight("conformance", "--backend-cmd", right, "--successor-cmd", wrong, *case)
    assert ran.returncode == 1
    again = ran.stdout.splitlines()[-1].removeprefix("again: vhost-inflight ")
    assert f"--successor-cmd '{wrong}'" in again
    name = again.split()[-1]
    assert inflight(*shlex.split(again)).returncode == 1
    other = inflight("conformance", "--backend-cmd", wrong, "--successor-cmd", right, "--at", name)
    assert (other.returncode, other.stderr) == (0, "")


def test_what_was_found_before_ctrl_c_is_told(programs: Path, tmp_path: Path) -> None:
    """By a real one, to a run that has found something and would go on for long."""
    files = {form: tmp_path / f"report.{form}" for form in ("json", "junit", "html")}
    options = [word for form, file in files.items() for word in (f"--{form}", str(file))]
    lives = tmp_path / "lives"
    told = f"sh -c 'echo >> {lives}; exec {c.command(programs)}'"
    asked = ["conformance", "--backend-cmd", told, "--ring", "packed", *options]
    with subprocess.Popen(
        [sys.executable, "-m", "vhost_inflight", *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=as_at_a_terminal,  # noqa: PLW1509  # no threads here
    ) as ran:
        try:
            wait_for(lambda: lives.exists() and lives.stat().st_size > 30)
            ran.send_signal(signal.SIGINT)
            said, complained = ran.communicate(timeout=30)
        finally:
            ran.kill()
    assert (ran.returncode, complained) == (130, "")
    assert said.startswith("packed, judged as hardened: ")
    assert said.endswith("interrupted: this is what was found so far\n")
    document = json.loads(files["json"].read_text(encoding="utf-8"))
    assert document["interrupted"]
    assert document["rings"][0]["cases"]
    assert all(file.stat().st_size for file in files.values())


def test_who_tries_cases_ends_with_who_asks(programs: Path, tmp_path: Path) -> None:
    """However that ends: workers of one that was killed would wait for ever. Its own lives are over by then."""
    lives = tmp_path / "lives"
    told = f"sh -c 'echo >> {lives}; exec {c.command(programs)}'"
    asked = ["conformance", "--backend-cmd", told, "--ring", "split", "--load", "mixed", "--second", "0", "--jobs", "2"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-m", "vhost_inflight", *asked], env=environment) as ran:
        wait_for(lambda: lives.exists() and lives.stat().st_size > 10)
        task = Path(f"/proc/{ran.pid}/task/{ran.pid}/children")
        assert len(task.read_text().split()) >= 2
        ran.kill()
    wait_for(lambda: not _left(str(tmp_path)))


def _left(word: str) -> list[bytes]:
    """Give the commands of processes that have a word in theirs."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.append(file.read_bytes())
    return [words for words in found if word.encode() in words]
