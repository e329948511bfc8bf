"""A case as a file: written, shown, drawn, done again; and what is no case is told so."""

from __future__ import annotations

import json
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from refimpl.choices import Choices
from refimpl.split.ring import ring_bytes
from tests.conformance import c
from tests.conformance.c import inflight
from vhost_inflight.conformance import html, report, under_guest
from vhost_inflight.conformance.campaign import Campaign
from vhost_inflight.conformance.command import Asked, tried
from vhost_inflight.conformance.life import Setup
from vhost_inflight.conformance.load import QUEUE_SIZE
from vhost_inflight.conformance.picture import picture
from vhost_inflight.conformance.points import Case, stores
from vhost_inflight.conformance.process import Command
from vhost_inflight.conformance.showing import load
from vhost_inflight.conformance.tracer import Change

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def case(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the shortest failing case of a back-end that marks a request before it says which one it is."""
    file = tmp_path_factory.mktemp("case") / "case.json"
    told = c.command(programs, "MARKED_BEFORE_COUNTER")
    asked = ["--backend-cmd", told, "--at", "split-mixed-11-after", "--case", str(file)]
    assert inflight("conformance", *asked).returncode == 1
    return file


def test_replay_shows_the_lives_before_the_death_and_after_it(case: Path) -> None:
    ran = inflight("replay", str(case))
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert lines[0] == "split-mixed-11-after: fail, corrupts in a guest; judged as merged"
    death = lines.index("       SIGKILL after this store")
    assert lines[death - 1].startswith("    11 region.desc[3].inflight := 1 (was 0), by split_fetch (recover.c:")
    assert lines[death + 2].startswith("     1 region.desc[6].inflight := 1")
    assert "broken: order (memory): requests [2, 1] would be resubmitted in this order" in lines
    assert any(line.startswith("reconnecting, 2              Head 3 is resubmitted first") for line in lines)


def test_conformance_does_a_file_again(programs: Path, case: Path, tmp_path: Path) -> None:
    """The mistaken one fails again; the right one passes, and its case can be written and shown as well."""
    mistaken = c.command(programs, "MARKED_BEFORE_COUNTER")
    again = inflight("conformance", "--backend-cmd", mistaken, "--at", str(case))
    assert again.returncode == 1
    assert "split-mixed-11-after: fail" in again.stdout
    other = tmp_path / "other.json"
    right = inflight("conformance", "--backend-cmd", c.command(programs), "--at", str(case), "--case", str(other))
    assert right.returncode == 0
    assert load(other)["verdict"] == "pass"
    assert "broken" not in inflight("replay", str(other)).stdout


def test_a_file_is_done_again_as_it_was_found(programs: Path, tmp_path: Path) -> None:
    """With its options, which may be said once more, and not otherwise; a file of before says the revision alone."""
    told, right, file = c.command(programs, "RESUBMITTED_BACKWARDS"), c.command(programs), tmp_path / "case.json"
    found = ["--in-order", "--event-index", "--patience", "0.75", "--revision", "merged", "--successor-cmd"]
    found.append(f"{told} 4 in-order")
    options = ["--backend-cmd", f"{right} 4 in-order", "--at", "split-mixed-30-after"]
    first = inflight("conformance", *options, *found, "--case", str(file))
    assert (first.returncode, "order (driver)" in first.stdout) == (1, True), first.stdout + first.stderr
    assert "--patience 0.75 --at" in first.stdout
    options[-1] = str(file)
    for more in ([], found, ["--patience", "0.75"]):
        again = inflight("conformance", *options, *more)
        assert (again.returncode, again.stdout.splitlines()[-1]) == (1, first.stdout.splitlines()[-1]), again.stderr
    for more, said in (
        (["--patience", "2"], "found with --patience 0.75, not with --patience 2.0"),
        (["--revision", "hardened"], "found with --revision merged, not with --revision hardened"),
        (["--successor-cmd", "x"], f"found with --successor-cmd {found[-1]}, not with --successor-cmd x"),
    ):
        refused = inflight("conformance", *options, *more)
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
        assert "to try its case otherwise, name it (--at split-mixed-30-after)" in refused.stderr
    document = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in document.items() if name != "options"}))
    old = inflight("conformance", *options, "--patience", "2", *found[:2])
    assert old.returncode == 0, old.stderr  # what was resubmitted backwards was the successor's
    assert "not with" in inflight("conformance", *options, "--revision", "hardened").stderr


def test_an_option_that_a_file_was_found_without_contradicts_it(case: Path) -> None:
    for option, more in (("--in-order", []), ("--event-index", []), ("--successor-cmd", ["x {socket} {image}"])):
        ran = inflight("conformance", "--backend-cmd", "x {socket} {image}", "--at", str(case), option, *more)
        assert (ran.returncode, f"{case} was found without {option}, not with {option}" in ran.stderr) == (2, True)


@pytest.mark.parametrize("name", ["split-mixed-900-after", "split-mixed-3-after-900-after"])
def test_a_case_whose_store_there_is_not_is_no_file(programs: Path, tmp_path: Path, name: str) -> None:
    """What is said is the same as without a file, and none is written."""
    file = tmp_path / "case.json"
    asked = ["conformance", "--backend-cmd", c.command(programs), "--at", name]
    for ran in (inflight(*asked), inflight(*asked, "--case", str(file), "--html", str(tmp_path / "report.html"))):
        assert ran.returncode == 2
        assert ran.stderr.startswith(f"vhost-inflight: no verdict: {name} was not tried: there are fewer stores")
        assert len(ran.stderr.splitlines()) == 1
    assert not file.exists()


def test_a_store_in_no_field_is_named_by_where_it_is(tmp_path: Path) -> None:
    """In the report, in its file, in `replay`, in HTML, and where a guest's back-end is to die."""
    told, files = c.stores_to_padding(tmp_path), [tmp_path / "case.json", tmp_path / "report.html"]
    named = ["--at", "split-mixed-1-after", "--case", str(files[0]), "--html", str(files[1])]
    ran = inflight("conformance", "--backend-cmd", told, "--load", "mixed", *named)
    assert ran.returncode == 0
    shown = inflight("replay", str(files[0])).stdout
    assert "     1 region+0xb4 (no field) := 7 (was 0), by start (changed.c:" in shown
    assert "<code>after region+0xb4 (no field) := 7</code>" in files[1].read_text(encoding="utf-8")
    case = Case.read("split-mixed-1-after")
    campaign = Campaign(Setup(Command(told), Choices()))
    (name,) = under_guest._aims(campaign, case)
    assert name.startswith("after region+0xb4 (no field) by start (changed.c:")
    assert any("(no field)" in name for name in under_guest._aims(campaign, None))


def test_what_it_cannot_do_is_told_in_report_and_page() -> None:
    """The same number of things, and of each what tells it from the others."""
    page = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    listed = page.partition("What it cannot do:\n\n")[2].partition("\n\n")[0].split("\n- ")
    assert len(listed) == len(report.CANNOT)
    words = ("processor", "disk", "resubmitted", "len", "indirect tables", "Long lives", "forks", "Helpers")
    for word, told, said in zip(words, report.CANNOT, listed, strict=True):
        assert word in told
        assert word in said


def test_what_is_in_no_field_is_told_in_pieces_with_its_queue() -> None:
    """Padding of a region, and of a ring between two of its parts; a change that is in a field too has that name."""
    region = Change("region 1", bytes(192), bytes(150) + b"\1" * 10 + bytes(32))
    assert [str(said) for said in stores([region], "split", "merged")] == [
        "queue 1: region+0x96 (no field) := 72340172838076673", "queue 1: region+0x9e (no field) := 257",
    ]  # fmt: skip
    both = Change("region 0", bytes(192), b"\1" * 192)
    assert all(said.in_a_field for said in stores([both], "split", "merged"))
    size = ring_bytes(QUEUE_SIZE)
    ring = Change("ring 0", bytes(size), bytes(150) + b"\2" + bytes(size - 151))
    (said,) = stores([ring], "split", "merged")
    assert (str(said), said.in_a_field) == ("ring+0x96 (no field) := 2", False)


def test_the_memory_of_a_case_is_a_state_for_recover(case: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    assert inflight("replay", str(case), "--dump-at", "crash", "--json", str(state)).returncode == 0
    assert "Head 3 is resubmitted first" in inflight("recover", "--explain", str(state)).stdout
    refused = inflight("replay", str(case), "--dump-at", "end")
    assert (refused.returncode, "--dump-at crash alone" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"verdict": "good"}, "is no case: verdict: 'good' is not one of"),
        ({"lives": []}, "is no case: lives: "),
        ({"options": {"patience": 1}}, "is no case: options: "),
        ({"more": 1}, "is no case: Additional properties"),
    ],
)
def test_what_is_no_case_is_told(case: Path, tmp_path: Path, change: dict[str, Any], told: str) -> None:
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(json.loads(case.read_text()) | change))
    for command in (["replay", str(file)], ["conformance", "--backend-cmd", "x {socket} {image}", "--at", str(file)]):
        ran = inflight(*command)
        assert (ran.returncode, told in ran.stderr, "Traceback" in ran.stderr) == (2, True, False), ran.stderr


def test_the_picture_has_each_life_its_death_and_the_values_of_that_time(case: Path) -> None:
    """As SVG that a reader of XML takes; its texts are within it, and no two of a line lie upon each other."""
    drawn = picture(load(case))
    root = ET.fromstring(drawn.replace("<svg", f'<svg xmlns="{SVG[1:-1]}"', 1))  # noqa: S314  # our own
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    texts = [(float(e.attrib["x"]), float(e.attrib["y"]), unescape(e.text or "")) for e in root.iter(f"{SVG}text")]
    assert {"1", "2", "SIGKILL after this store", ".inflight"} <= {text for _, _, text in texts}
    assert len(list(root.iter(f"{SVG}path"))) > 1
    lines: dict[float, list[tuple[float, str]]] = {}
    for x, y, text in sorted(texts):
        assert x + 6.62 * len(text) <= width, text
        assert 0 < y < height, text
        lines.setdefault(y, []).append((x, text))
    for line in lines.values():
        for (x, text), (following, _) in pairwise(line):
            assert x + 6.62 * len(text) <= following, (text, line)


def test_a_store_before_which_it_died_is_drawn_as_not_done(programs: Path, tmp_path: Path) -> None:
    file = tmp_path / "case.json"
    inflight("conformance", "--backend-cmd", c.command(programs), "--at", "split-mixed-3-before", "--case", str(file))
    document = load(file)
    assert "line-through" in picture(document)
    assert "SIGKILL before this store" in picture(document)
    text = inflight("replay", str(file)).stdout
    assert ", not done\n       SIGKILL before this store" in text


def test_no_terminal_obeys_what_a_back_end_says(tmp_path: Path) -> None:
    """Nor a browser, nor who shows a file of somebody else."""
    says = r'fprintf(stderr, "first\n\033[31m<b>&\v\001\xc2\x85\xff\n"); exit(1);'
    told = c.changed(tmp_path, "ring->started = 1;", f"ring->started = 1; if (q->split->version) {{ {says} }}")
    told = str((tmp_path / "changed").rename(tmp_path / "is\x1b[31mred")) + " {socket} {image}"
    files = {form: tmp_path / f"report.{form}" for form in ("case", "html", "junit", "json")}
    options = [word for form, file in files.items() for word in (f"--{form}", str(file))]
    ran = inflight("conformance", "--backend-cmd", told, "--at", "split-mixed-3-after", *options[:-2])
    assert ran.returncode == 1
    shown = r"it says: \x1b[31m<b>&\x0b\x01\x85�"
    files["case"].write_text(files["case"].read_text().replace("split_fetch", r"split\u001b[31mfetch"))
    replayed = inflight("replay", str(files["case"])).stdout
    assert r"by split\x1b[31mfetch" in replayed
    assert all(shown in text for text in (ran.stdout, replayed)), ran.stdout
    drawn = files["html"].read_text(encoding="utf-8")
    assert shown.replace("&", "&amp;").replace("<b>", "&lt;b&gt;") in drawn
    for text in (ran.stdout, replayed, drawn, files["junit"].read_text(encoding="utf-8")):
        assert all(one.isprintable() or one in "\n\u00a0" for one in text)
    never = "/bin/sh -c 'printf \"\\033[31m\\vso\" >&2; exit 1' {socket} {image}"
    refused = inflight("conformance", "--backend-cmd", never)
    assert (refused.returncode, refused.stderr.endswith("before it listened; \\x1b[31m\\x0bso\n")) == (2, True), refused


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("mistake", ["", "RESUBMITTED_BACKWARDS"])
def test_the_order_that_a_device_gets_is_seen_in_what_comes_back(programs: Path, ring: str, mistake: str) -> None:
    """Where the memory is right, and the process turns the list round. Without --in-order it passes."""
    command = f"{c.command(programs, mistake)} 4 in-order"
    case = {"split": "split-mixed-30-after", "packed": "packed-mixed-180-after"}[ring]
    for options, wrong in (([], False), (["--in-order"], bool(mistake))):
        ran = inflight("conformance", "--backend-cmd", command, "--at", case, "--ring", ring, *options)
        assert ran.returncode == int(wrong), ran.stdout
        assert ("order (driver): request" in ran.stdout) == wrong
        assert (f"--in-order --at {case}" in ran.stdout) == wrong


def test_a_report_says_how_many_failures_have_no_picture(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = c.command(programs, "LAST_AVAIL_FROM_BASE")
    report = tried(Asked(told, ring="split", loads=["mixed"], failures=5, jobs=1))
    assert "have a picture" not in html.as_html(report)
    monkeypatch.setattr(html, "SHOWN", 3)
    assert "<p>The 3 shortest of 5 have a picture; of 2 more words say what came.</p>" in html.as_html(report)
