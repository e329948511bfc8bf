"""What was not tried is no pass: exit 2 and a sentence, where nothing died or nothing was seen to be stored."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from tests.conformance import c
from tests.conformance.c import inflight
from vhost_inflight.conformance import command, trying
from vhost_inflight.conformance.command import Asked
from vhost_inflight.conformance.life import Rig
from vhost_inflight.conformance.report import lines
from vhost_inflight.reports import shipped_schema

FORKED = (
    "connection = accept(listening, NULL, NULL);",
    "connection = accept(listening, NULL, NULL); if (fork()) pause();",
)


def test_where_no_store_is_seen_there_is_no_verdict(tmp_path: Path) -> None:
    """What serves was forked after it was connected to: the process that is traced stores nothing."""
    files = {form: tmp_path / f"report.{form}" for form in ("json", "junit")}
    options = [word for form, file in files.items() for word in (f"--{form}", str(file))]
    told = c.changed(tmp_path, *FORKED)
    ran = inflight("conformance", "--backend-cmd", told, "--ring", "split", "--load", "in-use", *options)
    assert ran.returncode == 2, ran.stdout
    assert "no verdict: split in-use: nothing was killed, so nothing is known: it served requests, and no" in ran.stderr
    document = json.loads(files["json"].read_text(encoding="utf-8"))
    jsonschema.validate(document, shipped_schema("vhost_inflight.conformance"))
    assert "no store of it was seen" in document["rings"][0]["unjudged"][0]
    assert ET.fromstring(files["junit"].read_text(encoding="utf-8")).get("failures") == "1"  # noqa: S314  # our own


def test_nearly_every_random_kill_kills(programs: Path) -> None:
    """Times are drawn from those in which it serves; one that came too late is drawn again, shorter."""
    asked = Asked(c.command(programs), ring="split", loads=["in-use"], random=True, kills=30)
    report = command.tried(asked)
    words = [verdict.word for verdict in report.verdicts]
    assert words.count("pass") > 28, list(lines(report))
    assert report.passed


def test_random_kills_that_kill_nobody_are_no_verdict(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is told how many did not."""
    monkeypatch.setattr(Rig, "_kill", lambda _: None)
    monkeypatch.setattr(trying, "_DRAWS", 2)
    report = command.tried(Asked(c.command(programs), ring="split", loads=["in-use"], random=True, kills=3))
    told = list(lines(report))
    assert "split: not killed in time: 3 of 3 random cases" in told
    assert "split in-use: nothing was killed, so nothing is known: no case came to its death" in told
    assert not report.passed


@pytest.mark.parametrize(
    ("case", "stores"), [("split-in-use-9999-after", 39), ("split-in-use-3-after-9999-before", 36)]
)
def test_a_case_that_does_not_exist_is_told_so(programs: Path, case: str, stores: int) -> None:
    ran = inflight("conformance", "--backend-cmd", c.command(programs), "--at", case)
    why = f"{case} was not tried: there are fewer stores in this life: {stores}"
    assert (ran.returncode, ran.stderr) == (2, f"vhost-inflight: no verdict: {why}\n")


@pytest.mark.parametrize(
    ("offered", "code", "told"),
    [
        ("VERSION_1", 1, "unsupported: no INFLIGHT_SHMFD"),
        ("(_exit(3), 0)", 2, "the back-end cannot be tried: the back-end closed the connection; the back-end ended"),
    ],
)
def test_one_that_fails_before_anything_was_tried_is_not_rejected(
    tmp_path: Path, offered: str, code: int, told: str
) -> None:
    """It offers no protocol features, or ends when it is asked for the first ones."""
    changed = c.changed(tmp_path, "answer_number(m->request, OFFERED)", f"answer_number(m->request, {offered})")
    junit = tmp_path / "junit.xml"
    asked = ["--ring", "split", "--load", "in-use", "--junit", str(junit)]
    ran = inflight("conformance", "--backend-cmd", changed, *asked)
    assert ran.returncode == code, ran.stdout
    assert told in ran.stdout + ran.stderr
    assert "reject" not in ran.stdout
    if code == 1:
        assert ET.fromstring(junit.read_text(encoding="utf-8")).get("failures") == "1"  # noqa: S314  # our own


@pytest.mark.parametrize("how", [[], ["--random", "--kills", "5"], ["--at", "split-in-use-3-after"]])
def test_one_that_hands_out_no_region_is_told_so(tmp_path: Path, programs: Path, how: list[str]) -> None:
    """Its memory is its own, so that nothing is handed back; one with a region is told nothing of the kind."""
    place = "told.size = told.queues * region_stride(told.queue_size);"
    mine = "region = allocate(1, told.size); region_entries = told.queue_size; region_queues = told.queues;"
    sent = "told.size = told.offset = 0; send_message(m->request, &told, sizeof(told), -1); return;"
    changed, report = c.changed(tmp_path, place, f"{place} {mine} {sent}"), tmp_path / "report.json"
    asked = ["--ring", "split", "--load", "in-use", *how, "--json", str(report)]
    for program, without in ((changed, True), (c.command(programs), False)):
        ran = inflight("conformance", "--backend-cmd", program, *asked)
        told = "split: there is no region at all: the back-end hands out 0 bytes at GET_INFLIGHT_FD"
        assert (told in ran.stdout) == without, ran.stdout + ran.stderr
        document = json.loads(report.read_text(encoding="utf-8"))
        jsonschema.validate(document, shipped_schema("vhost_inflight.conformance"))
        assert document["rings"][0]["regionless"] == without


def test_one_with_a_single_queue_is_judged_by_the_other_loads(tmp_path: Path) -> None:
    """What it cannot be asked for is told, and counts neither for it nor against it; alone it is no verdict."""
    changed = c.changed(tmp_path, "#define QUEUES_MAX", "#define QUEUES_MAX 1 /* */\n#define MORE")
    asked = ["conformance", "--backend-cmd", changed, "--ring", "split", "--load", "in-use"]
    ran = inflight(*asked, "--load", "queues")
    assert ran.returncode == 0, ran.stderr
    assert "118 cases, 118 pass" in ran.stdout
    assert "split queues: not tried: it has 1 queue, 2 are needed\n" in ran.stdout
    alone = inflight(*asked[:-1], "queues")
    assert (alone.returncode, alone.stdout) == (2, "")
    assert "it has 1 queue, 2 are needed" in alone.stderr
