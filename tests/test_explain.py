"""What the command line explains: steps, properties, gaps, revisions and their differences, on both rings."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model import protocol
from model.properties import ALL
from vhost_inflight import cli, explain, explain_names, explain_text

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process; give exit code, output and errors."""

    def runs(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vhost-inflight", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return runs


def test_the_list_has_every_name(run: Run) -> None:
    """`explain` without an ID lists all of them, by kind."""
    code, out, _ = run("explain")
    assert code == 0
    words = out.split()
    for ring in protocol.RINGS:
        assert set(explain.ids(ring)) <= set(words)
    assert {*protocol.errata(), *protocol.errata_since(), *protocol.edits()} <= set(words)
    assert out.index("\n    split.fetch.bump ") < out.index("\n    split.fetch.2 ")


@pytest.mark.parametrize(("ring", "name"), [(ring, name) for ring in protocol.RINGS for name in explain.ids(ring)])
def test_every_name_is_explained(run: Run, ring: str, name: str) -> None:
    """As text and as JSON, of the kind that it is; each line fits a wide terminal."""
    code, out, _ = run("explain", name, "--ring", ring)
    assert code == 0
    assert out.startswith(f"{name}: a ")
    assert max(map(len, out.splitlines())) <= 120
    code, out, _ = run("explain", name, "--ring", ring, "--json", "-")
    (answer,) = json.loads(out)
    kinds: dict[str, Any] = {"property": ALL, "gap": protocol.gaps(ring), "revision": protocol.revisions(ring)}
    kinds |= {"reading": protocol.readings(ring), "later": protocol.later(ring)}
    assert answer["kind"] == next((kind for kind, names in kinds.items() if name in names), "step")
    assert (code, answer["id"]) == (0, name)


def test_a_step_is_explained_as_it_is_in_each_revision(run: Run) -> None:
    """Sentence, place in the text, labels, guard, store, judgements, and the choices that change it."""
    _, out, _ = run("explain", "split.fetch.2")
    assert out.splitlines() == [
        "split.fetch.2: a step of the split ring, procedure fetch",
        "",
        "in         v6",
        "text       v6 receiving, 2; merged receiving, 4",
        "sentence   Mark the head as inflight.",
        "label      leaves 'mark', goes to 'submit'",
        "always     supply.open == 0",
        "store      region.desc[fetch.head].inflight := 1",
        "",
        "in         merged, hardened",
        "text       v6 receiving, 2; merged receiving, 4",
        "sentence   Mark the head as inflight.",
        "label      leaves \"before split.fetch.2'\", goes to 'submit'",
        "always     supply.open == 0",
        "store      region.desc[fetch.head].inflight := 1",
        "",
        "other with fetch-in-batch=always; fetch-in-batch=until-publish; region-size=smaller",
        "",
        "proposed   behind the lists, for store-order:",
        "           The stores are made in the order of these steps and, within a step, in the order in which",
        "           it names the fields unless it says another, as far as a process that starts after a crash",
        "           could tell. Known to be needed: when receiving, counter of an entry is set before its",
        "           inflight.",
    ]


def test_a_step_says_what_the_text_should_say(run: Run) -> None:
    """By the number that the text has, and for which mends; an order of other steps is left out."""
    _, out, _ = run("explain", "packed.reconnect.2a", "--json", "-")
    (proposed,) = json.loads(out)[0]["proposed"]
    assert (proposed["place"], proposed["mends"]) == ("reconnecting, 2", ["half-rolled-back"])
    assert proposed["sentence"].endswith("old_used_wrap_counter, free_head after the other two.")
    _, out, _ = run("explain", "packed.fetch.6", "--json", "-")
    (proposed,) = json.loads(out)[0]["proposed"]
    assert proposed["place"] == ""
    assert proposed["sentence"].endswith("when receiving, free_head is moved before old_free_head.")
    _, out, _ = run("explain", "packed.fetch.5a", "--json", "-")
    assert json.loads(out)[0]["proposed"] == []


def test_a_step_that_stays_may_be_written_otherwise() -> None:
    """By what happened, as history says, or by the guard of its procedure: a table has these beside its steps."""
    table = protocol.table(protocol.Subject("split", "merged"))
    assert explain.changes(table, table) == []
    other = replace(table, history={**table.history, "split.supply.5": table.history["split.fetch.submit"]})
    (change,) = explain.changes(table, other)
    assert (change["id"], [part["part"] for part in change["parts"]]) == ("split.supply.5", ["history"])
    unguarded = explain.changes(table, replace(table, guards={**table.guards, "supply": table.guards["fetch"]}))
    assert [change["id"] for change in unguarded] == ["procedure supply"]
    guarded_by = {"fetch-in-batch=always", "fetch-in-batch=until-publish"}
    assert guarded_by <= set(explain.explain("packed", "packed.fetch.2a")["changed_by"])


def test_a_step_of_a_gap_says_with_which_choice_it_exists(run: Run) -> None:
    """It may be written differently with each."""
    _, out, _ = run("explain", "queue.other", "--json", "-")
    answer = json.loads(out)[0]
    assert answer["revisions"] == []
    assert answer["only_with"] == ["counter-scope=device-greatest", "counter-scope=device-last"]
    assert [w["in"] for w in answer["writings"]] == [
        ["merged counter-scope=device-greatest"],
        ["merged counter-scope=device-last"],
    ]


def test_a_step_that_a_choice_removes_says_so(run: Run) -> None:
    """Removed and changed are two things."""
    _, out, _ = run("explain", "split.init.2", "--json", "-")
    answer = json.loads(out)[0]
    assert answer["changed_by"] == ["init-order=version-first"]
    assert answer["missing_with"] == [
        "fresh-used-idx=zero",
        "fresh-used-idx=zero-and-skip",
        "init-order=before-hand-over",
    ]


def test_judgements_name_their_steps(run: Run) -> None:
    """A property is judged at steps; the steps name the property."""
    _, out, _ = run("explain", "exactly-once", "--json", "-")
    assert [j["steps"] for j in json.loads(out)[0]["judged"]] == [["split.supply.5"]]
    _, out, _ = run("explain", "split.supply.5", "--json", "-")
    (writing,) = json.loads(out)[0]["writings"]
    assert writing["judged"] == ["intact", "exactly-once"]
    assert writing["stores_to"] == ["used.idx"]


def test_the_difference_of_two_revisions(run: Run) -> None:
    """What merged inserted and replaced, in the order of its table."""
    _, out, _ = run("explain", "--ring", "split", "--diff", "v6", "merged", "--json", "-")
    changes = {c["id"]: c["change"] for c in json.loads(out)[0]["changes"]}
    assert list(changes.items()) == [
        ("split.position", "replaced"),
        ("split.counter", "inserted"),
        ("split.reconnect.2", "replaced"),
        ("split.fetch.counter", "inserted"),
        ("split.fetch.bump", "inserted"),
        ("split.fetch.2", "replaced"),
    ]


def test_the_difference_the_other_way_removes(run: Run) -> None:
    """What was inserted is removed; with itself there is none."""
    _, out, _ = run("explain", "--ring", "split", "--diff", "merged", "v6")
    assert [line for line in out.splitlines() if line.startswith("- split")] == [
        "- split.counter",
        "- split.fetch.counter",
        "- split.fetch.bump",
    ]
    _, out, _ = run("explain", "--diff", "v6", "v6")
    assert out.splitlines()[-1] == "no difference"


def test_the_difference_on_both_rings(run: Run) -> None:
    """Without a ring, both are shown: hardened changes steps of the packed ring's recovery alone."""
    _, out, _ = run("explain", "--diff", "merged", "hardened")
    assert out.startswith("--- merged, split ring\n+++ hardened\nno step is another\n@@ behind the lists\n")
    assert "\n\n--- merged, packed ring\n+++ hardened\n@@ recover\n" in out
    _, out, _ = run("explain", "--diff", "merged", "hardened", "--json", "-")
    split, packed = json.loads(out)
    assert split["changes"] == []
    assert {"packed.reconnect.1.settled", "packed.reconnect.unmark"} <= {
        change["id"] for change in packed["changes"] if change["change"] == "inserted"
    }


def test_a_store_of_flags_is_one(run: Run) -> None:
    """Three bits of one field are stored; what only the process knows is not."""
    _, out, _ = run("explain", "packed.reconnect.unmark")
    kinds = [line.split()[0] for line in out.splitlines() if line.startswith(("store", "local"))]
    assert kinds == ["store", "store", "store", "local", "local"]


def test_a_gap_shows_what_each_choice_changes(run: Run) -> None:
    """The default changes nothing; the guard of a procedure counts as a change."""
    _, out, _ = run("explain", "fetch-in-batch", "--json", "-")
    answer = json.loads(out)[0]
    assert answer["default"] == "never"
    changes = {a["name"]: [c["id"] for c in a["changes"]] for a in answer["alternatives"]}
    assert changes == {"never": [], "until-publish": ["procedure fetch"], "always": ["procedure fetch"]}


# Names of every kind, on every ring that has them

ROOT = Path(__file__).parents[1]


def told(run: Run, *arguments: str) -> list[dict[str, Any]]:
    """Give the answers as JSON has them."""
    code, out, err = run("explain", *arguments, "--json", "-")
    assert (code, err) == (0, "")
    return list(json.loads(out))


@pytest.mark.campaign
def test_every_name_is_explained_without_a_ring(run: Run) -> None:
    """Choices, errata, mends and edits too; what is in both rings is told of both."""
    for name in explain_names.names():
        answers = explain_names.answers(name)
        assert answers, name
        assert all(explain_text.text(answer).startswith(f"{name}: ") for answer in answers)
    assert [answer["ring"] for answer in told(run, "driver.use")] == ["split", "packed"]
    assert [answer["ring"] for answer in told(run, "hardened", "--ring", "packed")] == ["packed"]
    assert [bool(answer["changes"]) for answer in told(run, "hardened")] == [False, True]
    assert "no step changes; no gap stays open" in run("explain", "hardened")[1]


def test_the_errata_are_those_of_the_page(run: Run) -> None:
    """Each that docs/errata.md lists, with the edit that it names, its run, and what the text should say."""
    page = (ROOT / "docs" / "errata.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| \[([\w-]+)\]\(#\1\) \|.*\| `([\w-]+)`[^|]*\|$", page, re.MULTILINE))
    assert listed.keys() == protocol.errata().keys()
    for name, mended in listed.items():
        (answer,) = told(run, name)
        assert (answer["kind"], answer["edit"] or "merged") == ("erratum", mended)
        assert Path(answer["run"]["file"]).is_file()
        assert bool(answer["proposed"]) == bool(answer["changes"]) == (name != "no-order")
        assert run("explain", name)[1].startswith(f"{name}: an erratum of the text, of the ")


def test_what_was_raised_since_is_explained_too(run: Run) -> None:
    """Each entry of docs/errata-2026.md, in its order: the sentence that settles it, and its first run."""
    page = (ROOT / "docs" / "errata-2026.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[([\w-]+)\]\(#\1\) \| (\w+) .*\| (?:`([\w-]+)`|a correction) \|$", page, re.MULTILINE)
    assert [name for name, *_ in listed] == list(protocol.errata_since())
    for name, ring, mend in listed:
        entry = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        erratum = protocol.errata_since()[name]
        assert (erratum.mend, len(erratum.rings)) == (mend, 2 if ring == "both" else 1)
        shown = re.findall(r"vhost-inflight replay (\S+)", entry)
        assert erratum.run == (shown[0] if shown else "")
        assert erratum.correction in " ".join(entry.split())
        answers = told(run, name)
        said = [one["sentence"] for answer in answers for one in answer["proposed"]]
        assert [answer.get("correction") for answer in answers if not said] == [f"{erratum.correction}."][: not mend]
        assert bool(said) == bool(mend)
        if answers[0]["kind"] == "erratum":
            assert bool(answers[0]["run"]) == bool(shown)
            assert not shown or f"vhost-inflight replay {answers[0]['run']['file']}\n" in run("explain", name)[1]
        text = " ".join(run("explain", name)[1].split())
        assert f"docs/errata-2026.md, {name}" in text
        assert all(sentence in text for sentence in said)


@pytest.mark.parametrize("ring", protocol.RINGS)
@pytest.mark.parametrize("asked", [("hardened",), ("--diff", "merged", "hardened"), ("--diff", "hardened", "v6")])
def test_hardened_says_what_happens_at_resets_and_in_order(run: Run, ring: str, asked: tuple[str, ...]) -> None:
    """Of a ring, of the device, of its driver, and in-order use: the sentences that `mend` writes."""
    (answer,) = told(run, *asked, "--ring", ring)
    text = " ".join(re.sub(r"^[+-] +", "", run("explain", *asked, "--ring", ring)[1], flags=re.MULTILINE).split())
    for name in ("ring-reset", "reset", "in-order"):
        (said,) = (each["sentence"] for each in answer["sentences"] if each["mends"] == [name])
        (written,) = (s.text([name]) for s in protocol.sentences(ring) if s.mends == (name,))
        assert said == written.replace("``", "")
        assert said in text
    assert "a reset of the device, by its driver or with the machine" in text
    assert told(run, "merged", "--ring", ring)[0]["sentences"] == []


def test_an_edit_shows_what_is_otherwise_without_it(run: Run) -> None:
    """And which erratum it mends."""
    (answer,) = told(run, "unmark-used")
    assert (answer["kind"], answer["errata"]) == ("edit", ["marked-used"])
    assert {"packed.reconnect.unmark.look", "packed.reconnect.unmark"} <= {change["id"] for change in answer["changes"]}
    assert {edit for edit in protocol.edits() if not told(run, edit)[0]["changes"]} == set()


def test_a_choice_is_explained_by_its_gap_or_alone(run: Run) -> None:
    """Alone it may be one of several gaps, on either ring."""
    (answer,) = told(run, "flags-order=in-order")
    assert (answer["kind"], answer["ring"], answer["default"]) == ("choice", "packed", False)
    assert {(one["id"], one["ring"]) for one in told(run, "zero")} == {
        ("fresh-used-idx=zero", "split"),
        ("counter-start=zero", "split"),
        ("counter-after-reconnect=zero", "split"),
        ("first-wrap=zero", "packed"),
        ("fresh-used-idx=zero", "packed"),
        ("counter-start=zero", "packed"),
        ("counter-after-reconnect=zero", "packed"),
    }
    assert run("explain", "counter-start=zero")[1].startswith("counter-start=zero: the default of a gap of the split")


def test_how_step_ids_begin_lists_them(run: Run) -> None:
    """A number of the text, a procedure, with the ring's name or without; no half of a word or a number."""
    (answer,) = told(run, "supply.9")
    assert [step["id"] for step in answer["steps"]] == [f"packed.supply.9{part}" for part in "abc"]
    assert [answer["ring"] for answer in told(run, "supply")] == ["split", "packed"]
    assert {step["procedure"] for step in told(run, "packed.fetch")[0]["steps"]} == {"fetch"}
    for name in ("packed.sup", "split.supply.1x", "s", "", "."):
        code, _, err = run("explain", name)
        assert (code, "there is no name" in err) == (2, True)


def test_a_suggestion_is_made_once(run: Run) -> None:
    """Names that both rings have are near once."""
    _, _, err = run("explain", "fetch-positon")
    near = " ".join(err.split()).partition("perhaps: ")[2].split(", ")
    assert near[0] == "fetch-position"
    assert len(near) == len(set(near))
    _, _, err = run("explain", "packed.supply.77", "--ring", "split")
    assert "there is no name on the split ring 'packed.supply.77'; perhaps: split.supply.7" in " ".join(err.split())


def test_what_the_documents_explain_can_be_explained(run: Run) -> None:
    """Each `vhost-inflight explain NAME` that a page prints."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    asked = {
        name
        for page in pages
        for name in re.findall(r"vhost-inflight explain ([a-z][\w=.-]*\w)", page.read_text("utf-8"))
    }
    assert "packed.supply.9b" in asked
    for name in asked:
        assert run("explain", name)[0] == 0
