"""Runs of large rings: terms mean as C what they mean to the interpreter; what small rings do not show is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from model import protocol
from model.both.words import ENTRIES, SIZE
from model.interpret import Machine
from model.properties import NAMES
from model.protocol import Subject
from model.steps import Edit, Replace
from model.terms import Term, all_of, ite, negate, total, wrap
from proofs.challenges import large, witnesses
from proofs.challenges.large import DEFAULTS, Player, Run, player_of, players, started
from proofs.search.judges import Judge
from tests.model.runs import name_of, random_run
from tests.proofs.test_false_theorems import _packed_loop, _split_loop

MERGED, HARDENED = DEFAULTS


@pytest.mark.parametrize("subject", DEFAULTS, ids=name_of)
def test_terms_mean_the_same_as_c(subject: Subject) -> None:
    """One run on both: each number after each event, each step that is enabled, each sentence."""
    player = player_of(subject)
    native, sizes = player.native, protocol.sizes(subject, 4, 65534)
    machine = Machine(player.table, sizes, check=True)
    sentences = [machine.predicate(c.holds) for c in player.sentences]
    for seed in range(3):
        native.begin(sizes)
        state = machine.initial()
        for step, chosen, after in random_run(machine, seed, 300, rarely=0.05):
            possible = {(number, c) for number, c, _ in machine.successors(state)}
            for number, recorded in enumerate(machine.steps):
                for c in range(sizes.heads) if recorded.step.choice else (-1,):
                    assert native.enabled(number, c) == ((number, c) in possible)
            assert native.event(machine.index[step], chosen) == []
            state = after
            told = [native.get(name) for name in machine.vars]
            assert [tuple(t) if isinstance(t, list) else t for t in told] == list(state)
            assert [native.holds(n) for n in range(len(sentences))] == [bool(s(state)) for s in sentences]


def test_a_false_sentence_and_a_violated_property_are_found() -> None:
    """Of a state that is changed by hand, as the interpreter has it."""
    native = player_of(MERGED).native
    native.begin(protocol.sizes(MERGED, 256))
    names = [c.name for c in player_of(MERGED).sentences]
    native._block[native._at["region.version"]] = 2
    assert not native.holds(names.index("version"))
    native._block[native._at["driver.num_free"]] = -1
    assert not native.holds(names.index("free heads"))


def test_sentences_about_pairs_are_evaluated_of_all_or_of_some() -> None:
    """With a stride, one pair in so many entries is left out, and found from another offset."""
    player = player_of(MERGED)
    native = player.native
    native.begin(protocol.sizes(MERGED, 256))
    rises = [c.name for c in player.sentences].index("working sum rises")
    native._block[native._at["proof.working_sum"] + 70] = 1
    assert not native.holds(rises)
    assert native.holds(rises, 64, 40)
    assert not native.holds(rises, 64, 6)


def _shown(run: Run) -> Run:
    assert run.faults == [], run.text()
    return run


@pytest.mark.parametrize("subject", DEFAULTS, ids=name_of)
def test_runs_of_large_rings_violate_nothing(subject: Subject) -> None:
    """Full rings, crashes in every procedure, nearly every step, the invariant at intervals."""
    steps, crashes, batch = set[str](), set[str](), 0
    for size, player in players(subject, (256, 257)):
        for seed in range(8):
            run = _shown(player.play(started(subject.ring, size, seed), seed))
            steps |= run.steps.keys()
            crashes |= run.crashes.keys()
            batch = max(batch, run.batch)
            assert run.full
            assert run.evaluated >= 10
            assert run.steps.total() > 1000
    assert crashes >= {"recover", "fetch", "supply", "between"}
    assert batch > 20
    assert set(player_of(subject).table.steps) - steps <= {"driver.reset", "connection.reset"}


LARGEST = pytest.param(MERGED, 32768, marks=pytest.mark.campaign)


@pytest.mark.parametrize(("subject", "size"), [(MERGED, 4096), LARGEST, (HARDENED, 4096)])
def test_runs_of_the_largest_rings_violate_nothing(subject: Subject, size: int) -> None:
    """A run of each, its ring full at least once."""
    run = _shown(player_of(subject).play(started(subject.ring, size, 1), 1))
    assert run.full
    assert run.evaluated >= 4


@pytest.mark.campaign
def test_a_packed_ring_of_the_largest_size_violates_nothing() -> None:
    """Its free list alone takes seconds to be judged."""
    assert _shown(player_of(HARDENED).play(started("packed", 32768, 1), 1)).full


# Mistakes that small rings do not show


def _signed(step_id: str, when: Callable[[Any], Term]) -> list[Edit]:
    return [Replace(step_id, {"when": when})]


def _ahead_is_signed() -> list[Edit]:
    """Take the number of requests that wait for a signed one: 32768 of them are none."""

    def some(s: Any) -> Term:
        ahead = wrap(s.fetch.seen_avail - s.fetch.last_avail, 16)
        return all_of(negate(ahead == 0), ahead < 32768)

    return [
        *_signed("split.fetch.1", some),
        *_signed("split.idle.arm", lambda s: negate(some(s))),
        *_signed("split.idle.wake", lambda s: all_of(negate(some(s)), s.kick == 1)),
    ]


def _slot_is_signed() -> list[Edit]:
    """Ask whether the ring has ended with a signed number: of 32768 slots it never has."""

    def find(s: Any) -> None:
        slots = total(ENTRIES, lambda e: s.region.desc[e].inflight == 1, lambda e: s.region.desc[e].num)
        far = s.region.used_idx + slots
        ended = all_of(far >= SIZE, far < 32768)
        s.fetch.avail_idx = ite(ended, far - SIZE, far)
        s.fetch.avail_wrap = ite(ended, 1 - s.region.used_wrap_counter, s.region.used_wrap_counter)

    return [Replace("packed.position", {"do": find})]


MISTAKES: Mapping[str, tuple[Subject, int, Callable[[], list[Edit]]]] = {
    "split: a loop in a uint8_t": (MERGED, 256, lambda: _split_loop(wrap(ENTRIES, 8))),
    "packed: a loop in a uint8_t": (HARDENED, 256, lambda: _packed_loop(wrap(ENTRIES, 8))),
    "packed: a loop in a uint8_t, 257": (HARDENED, 257, lambda: _packed_loop(wrap(ENTRIES, 8))),
    "split: a loop in 12 bits": (MERGED, 4096, lambda: _split_loop(wrap(ENTRIES, 12))),
    "packed: a loop in 12 bits": (HARDENED, 4096, lambda: _packed_loop(wrap(ENTRIES, 12))),
    "split: a signed number of requests": (MERGED, 32768, _ahead_is_signed),
}
"""A mistake, and the size at which it is one: of a smaller ring it changes nothing."""


OFTEN = ("split: a loop in a uint8_t", "packed: a loop in a uint8_t, 257")
"""A loop that comes round, on each ring; the others take longer."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in OFTEN else pytest.mark.campaign) for name in MISTAKES]
)
def test_a_mistake_that_large_rings_show_is_found(name: str) -> None:
    """A named property is violated, without the help of the invariant."""
    _is_found(*MISTAKES[name])


@pytest.mark.campaign
def test_a_signed_slot_is_found() -> None:
    """In a packed ring of 32768: the slot that is fetched next is past the last one."""
    player = Player(HARDENED, protocol.table(HARDENED).edited(_slot_is_signed()), invariant=False)
    (fault,) = player.play(started("packed", 32768, 1), 1).faults
    assert fault.endswith("packed.fetch.look: an element that there is not was read")


def _is_found(subject: Subject, size: int, edits: Callable[[], list[Edit]]) -> None:
    player = Player(subject, protocol.table(subject).edited(edits()), invariant=False)
    runs = (player.play(started(subject.ring, size, seed), seed) for seed in range(1, 5))
    assert any(any("is violated by" in fault or "drains" in fault for fault in run.faults) for run in runs)


@pytest.mark.parametrize("name", MISTAKES)
def test_no_small_witness_shows_it(name: str) -> None:
    """Each recorded run of the subject goes as it did, and violates nothing."""
    subject, _, edits = MISTAKES[name]
    for witness in (w for w in witnesses.load(subject.ring) if w.subject == subject):
        machine = Machine(protocol.table(subject).edited(edits()), witness.sizes)
        judge = Judge(machine, protocol.judgements(subject.ring), NAMES)
        state = machine.initial()
        for step, *chosen in witness.schedule:
            after = machine.take(state, step, *chosen)
            assert judge.event(state, (machine.index[step], chosen[0] if chosen else -1, after)) == []
            state = after


# What is missing, and what is asked wrongly


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """What to install, and exit 2."""
    large.player_of.cache_clear()
    monkeypatch.setenv("PATH", "/nonexistent")
    assert large.main(["--ring", "split", "--size", "4"]) == 2
    assert "install cc" in capsys.readouterr().err


def test_a_size_that_no_ring_has_is_refused() -> None:
    """Exit 2, before anything is compiled."""
    with pytest.raises(SystemExit) as refused:
        large.main(["--size", "65536"])
    assert refused.value.code == 2


def test_the_command_says_what_it_played(capsys: Any) -> None:
    """A line for each run."""
    assert large.main(["--ring", "split", "--size", "64", "--runs", "2"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line[:24] for line in told] == ["split, seed 0: size 64 (", "split, seed 1: size 64 ("]
