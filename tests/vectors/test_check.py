"""Check-vectors: each verdict, whatever an adapter does, and how the command ends."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft202012Validator

from tests.vectors import handmade
from vhost_inflight.reports import shipped_schema
from vhost_inflight.vectors.checking import command, process
from vhost_inflight.vectors.checking.process import AdapterError

FAKE = Path(__file__).with_name("fake.py")
REFERENCE = f"{shlex.quote(sys.executable)} -m vhost_inflight.vectors.adapters.reference"


def fake(how: str, at: str = "") -> str:
    """Give the command of an adapter that misbehaves, at one vector or at all."""
    return shlex.join([sys.executable, str(FAKE), how, *([at] if at else [])])


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test have a folder of its own."""
    monkeypatch.chdir(tmp_path)


def check(command: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command on the vectors made by hand, in the working directory."""
    program = [sys.executable, "-m", "vhost_inflight", "check-vectors", "--cmd", command]
    vectors = [] if "--vectors" in options else ["--vectors", str(handmade.written(Path.cwd()))]
    return subprocess.run([*program, *vectors, *options], check=False, capture_output=True, text=True)


def verdicts(program: str, **options: Any) -> tuple[bool, dict[str, Any]]:
    """Give whether all is well, and the cases of the report by id; without a process of the command's own."""
    file = handmade.written(Path.cwd())
    yes = command.run(program, vectors=file, json_file=Path("report.json"), **options)
    told = json.loads(Path("report.json").read_text(encoding="utf-8"))
    Draft202012Validator(shipped_schema("vhost_inflight.vectors.checking")).validate(told)
    return yes, {case["id"]: case for case in told["cases"]}


def test_an_adapter_that_is_right_passes() -> None:
    status, cases = verdicts(REFERENCE)
    assert {name: case["verdict"] for name, case in cases.items()} == dict.fromkeys(
        ["split-published", "split-fetched", "split-hostile", "split-life"], "pass"
    )
    assert status


@pytest.mark.parametrize(
    ("how", "word", "told"),
    [
        ("lies", "fail", "region.desc[0].inflight (byte 16) is 01, and has to be 00"),
        ("refuses", "reject", "it refuses, and blames the driver"),
        ("dies", "wedged", "it was ended by SIGABRT"),
        ("leaves", "wedged", "it ended with exit status 3"),
        ("hangs", "wedged", "no answer within 2 seconds"),
        ("garbage", "wedged", "is no object with an id and one of answer, unsupported, error"),
        ("another", "wedged", 'it answered to "split-another", and was asked about split-published'),
        ("unsupported", "unsupported", "not yet"),
        ("error", "fail", "the adapter has no answer: out of luck"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_case_is_a_verdict_and_the_rest_goes_on(how: str, word: str, told: str) -> None:
    status, cases = verdicts(fake(how, "split-published"), limit=2 if how == "hangs" else 10)
    case = cases.pop("split-published")
    assert case["verdict"] == word
    assert told in "\n".join(case["differs"])
    assert {other["verdict"] for other in cases.values()} == {"pass"}
    assert status == (word == "unsupported")


def test_the_last_words_of_an_adapter_are_told() -> None:
    _, cases = verdicts(fake("dies", "split-life"))
    assert "the last words of an adapter" in cases["split-life"]["differs"]


def test_what_has_to_be_refused_is_a_failure_when_it_is_taken() -> None:
    status, cases = verdicts(fake("takes"))
    assert cases["split-hostile"]["verdict"] == "fail"
    assert cases["split-hostile"]["differs"] == [
        "it takes what it has to refuse: no back-end that follows the text can have left this region"
    ]
    assert not status


def test_a_refusal_that_blames_another_passes_with_a_note() -> None:
    status, cases = verdicts(fake("blames"))
    assert cases["split-hostile"]["verdict"] == "pass"
    assert cases["split-hostile"]["note"] == "it blames the front-end, and it was the back-end"
    assert status
    assert "1 refused what they should, and blamed another" in check(fake("blames")).stdout


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("/nowhere/adapter", "/nowhere/adapter: the adapter does not start: No such file or directory"),
        (str(FAKE.parent), "the adapter does not start: Permission denied"),
        ("false", "false: the adapter does not answer to start: it ended with exit status 1"),
        ("echo hello", "no JSON"),
        (fake("version"), "it speaks version 2; version 1 is known here"),
        (fake("more"), "bytes after its answer"),
        ("", "--cmd is empty"),
        ("'half", "No closing quotation"),
        (fake("unsupported"), "nothing was checked"),
    ],
)
def test_an_adapter_that_cannot_be_asked_is_no_verdict(program: str, told: str) -> None:
    ran = check(program)
    assert ran.returncode == 2, ran.stdout
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(("how", "told"), [("leaks", "ended with exit status 4"), ("stays", "did not end within 2")])
def test_an_adapter_that_does_not_stop_as_told_fails(how: str, told: str) -> None:
    """Sanitizers look for leaks at the very end."""
    ran = check(fake(how), "--limit", "2", "--junit", "report.xml")
    assert ran.returncode == 1
    assert told in ran.stdout
    assert told in Path("report.xml").read_text(encoding="utf-8")


def test_nothing_is_left_of_an_adapter_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the process nor what it started: a shell here, with a sleep of its own, that does not answer to start."""
    mark = tmp_path / "pids"
    script = f"sleep 600 & echo $! > {mark}; wait"
    monkeypatch.setattr(process, "START_SECONDS", 0)
    with pytest.raises(AdapterError, match="does not answer to start: no answer within 1 seconds"):
        verdicts(shlex.join(["sh", "-c", script]), limit=1)
    child = int(mark.read_text(encoding="ascii"))
    state = Path(f"/proc/{child}/stat")
    for _ in range(50):
        if not state.exists() or state.read_text(encoding="ascii").split(")")[1].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail(f"process {child} lives")


def test_vectors_are_chosen_by_pattern() -> None:
    _, cases = verdicts(REFERENCE, only=["split-f*", "split-life"])
    assert list(cases) == ["split-fetched", "split-life"]
    ran = check(REFERENCE, "--only", "packed-*")
    assert (ran.returncode, "no vector's id matches packed-*" in ran.stderr) == (2, True)


@pytest.mark.parametrize(
    ("content", "told"), [("{", "line 1: no JSON"), ("{}", "line 1: no vector"), ("", "has no vectors")]
)
def test_vectors_that_are_none_are_refused(content: str, told: str) -> None:
    Path("mine.jsonl").write_text(content, encoding="utf-8")
    ran = check(REFERENCE, "--vectors", "mine.jsonl")
    assert ran.returncode == 2
    assert told in ran.stderr


def test_a_failure_says_rule_byte_fault_and_how_to_see_it() -> None:
    ran = check(fake("lies", "split-published"))
    assert ran.stdout.startswith(
        "fail: split-published\n"
        "  rule: merged, reconnecting, 1(b)\n"
        "  region.desc[0].inflight (byte 16) is 01, and has to be 00\n"
        "  whose fault: the back-end's\n"
        "  it catches: A mistake.\n"
        f"  it corrupts in a guest; see it: vhost-inflight recover --explain split-published --vectors {Path.cwd()}"
    )
    assert ran.stdout.endswith("the reference of vhost-inflight: 4 vectors: 3 pass, 1 fail\n")


def test_the_report_for_ci_counts_what_failed() -> None:
    """A suite for each section; what is no XML in an adapter's words is left out."""
    check(fake("dies", "split-published"), "--junit", "report.xml")
    root = ET.fromstring(Path("report.xml").read_text(encoding="utf-8"))  # noqa: S314  # our own
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("4", "1", "0")
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("type") == "wedged"
    assert "see it: vhost-inflight recover --explain split-published" in (failure.text or "")


def test_json_on_standard_output_is_all_that_is_there() -> None:
    told = json.loads(check(REFERENCE, "--json", "-").stdout)
    assert told["counts"] == {"pass": 4, "fail": 0, "reject": 0, "wedged": 0, "unsupported": 0}


def test_the_command_that_shows_what_is_right_names_the_vectors() -> None:
    """Where they are not the small set, whose ids it knows by itself."""
    ran = check(fake("lies"), "--json", "report.json", "--junit", "report.xml")
    where = f"--vectors {Path.cwd() / 'vectors.jsonl'}"
    assert f"see it: vhost-inflight recover --explain split-published {where}\n" in ran.stdout
    told = json.loads(Path("report.json").read_text(encoding="utf-8"))["cases"][0]["explain"]
    assert told == f"vhost-inflight recover --explain split-published {where}"
    assert where in Path("report.xml").read_text(encoding="utf-8")
    shown = subprocess.run([sys.executable, "-m", *told.replace("vhost-inflight", "vhost_inflight", 1).split()],
                           check=False, capture_output=True, text=True)  # fmt: skip
    assert (shown.returncode, shown.stderr) == (0, "")
    command.run(fake("dies"), only=["split-merged-one-supply.5"], json_file=Path("report.json"))
    told = json.loads(Path("report.json").read_text(encoding="utf-8"))["cases"][0]["explain"]
    assert told == "vhost-inflight recover --explain split-merged-one-supply.5"
