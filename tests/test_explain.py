"""What the command line explains: steps, properties, gaps, revisions and their differences, on both rings."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from model import protocol
from model.properties import NAMES
from vhost_inflight import cli, explain

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
    assert set(explain.ids("split")) <= set(words)
    assert out.index("\n    split.fetch.bump ") < out.index("\n    split.fetch.2 ")


@pytest.mark.parametrize(("ring", "name"), [(ring, name) for ring in protocol.RINGS for name in explain.ids(ring)])
def test_every_name_is_explained(run: Run, ring: str, name: str) -> None:
    """As text and as JSON, of the kind that it is; each line fits a wide terminal."""
    code, out, _ = run("explain", name, "--ring", ring)
    assert code == 0
    assert out.startswith(f"{name}: a ")
    assert max(map(len, out.splitlines())) <= 120
    code, out, _ = run("explain", name, "--ring", ring, "--json")
    answer = json.loads(out)
    kinds: dict[str, Any] = {"property": NAMES, "gap": protocol.gaps(ring), "revision": protocol.revisions(ring)}
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
    _, out, _ = run("explain", "packed.reconnect.2a", "--json")
    (proposed,) = json.loads(out)["proposed"]
    assert (proposed["place"], proposed["mends"]) == ("reconnecting, 2", ["half-rolled-back"])
    assert proposed["sentence"].endswith("old_used_wrap_counter, free_head after the other two.")
    _, out, _ = run("explain", "packed.fetch.6", "--json")
    (proposed,) = json.loads(out)["proposed"]
    assert proposed["place"] == ""
    assert proposed["sentence"].endswith("when receiving, free_head is moved before old_free_head.")
    _, out, _ = run("explain", "packed.fetch.5a", "--json")
    assert json.loads(out)["proposed"] == []


def test_a_step_of_a_gap_says_with_which_choice_it_exists(run: Run) -> None:
    """It may be written differently with each."""
    _, out, _ = run("explain", "queue.other", "--json")
    answer = json.loads(out)
    assert answer["revisions"] == []
    assert answer["only_with"] == ["counter-scope=device-greatest", "counter-scope=device-last"]
    assert [w["in"] for w in answer["writings"]] == [
        ["merged counter-scope=device-greatest"],
        ["merged counter-scope=device-last"],
    ]


def test_a_step_that_a_choice_removes_says_so(run: Run) -> None:
    """Removed and changed are two things."""
    _, out, _ = run("explain", "split.init.2", "--json")
    answer = json.loads(out)
    assert answer["changed_by"] == ["init-order=version-first"]
    assert answer["missing_with"] == [
        "fresh-used-idx=zero",
        "fresh-used-idx=zero-and-skip",
        "init-order=before-hand-over",
    ]


def test_judgements_name_their_steps(run: Run) -> None:
    """A property is judged at steps; the steps name the property."""
    _, out, _ = run("explain", "exactly-once", "--json")
    assert [j["steps"] for j in json.loads(out)["judged"]] == [["split.supply.5"]]
    _, out, _ = run("explain", "split.supply.5", "--json")
    (writing,) = json.loads(out)["writings"]
    assert writing["judged"] == ["intact", "exactly-once"]
    assert writing["stores_to"] == ["used.idx"]


def test_the_difference_of_two_revisions(run: Run) -> None:
    """What merged inserted and replaced, in the order of its table."""
    _, out, _ = run("explain", "--ring", "split", "--diff", "v6", "merged", "--json")
    changes = {c["id"]: c["change"] for c in json.loads(out)["changes"]}
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
    assert out.startswith("--- merged, split ring\n+++ hardened\nno difference\n--- merged, packed ring\n")
    _, out, _ = run("explain", "--diff", "merged", "hardened", "--json")
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
    _, out, _ = run("explain", "fetch-in-batch", "--json")
    answer = json.loads(out)
    assert answer["default"] == "never"
    changes = {a["name"]: [c["id"] for c in a["changes"]] for a in answer["alternatives"]}
    assert changes == {"never": [], "until-publish": ["procedure fetch"], "always": ["procedure fetch"]}
