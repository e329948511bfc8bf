"""Kinds of memory: what others may see of a few stores, against every order that a program could have been compiled to.

The oracle here knows nothing of the machine: it lists the permutations of the stores that leave those to one field, and
those that are kept, in their order; joins what is joined; and looks at the memory after each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from model.interpret import Sizes, StateTuple
from model.memory.accesses import BACK_END
from model.memory.kinds import ARM, COMPILER, MEMORIES, PROGRAM_ORDER, X86, Memory, Moved, Orders, Points
from model.memory.machine import LOAD, MemoryMachine
from model.record import Var, Vars
from model.steps import History, Procedure, Table
from model.terms import any_of

FIELDS = ("x", "y", "z")
Pictures = frozenset[tuple[int, ...]]


def program(*stores: tuple[str, int], peeks: str = "", own: bool = False) -> Table:
    """Make a program of the back-end that stores some values, one after the other, and looks at the driver's answer.

    `peeks`: when it looks at another field too, "first" or "last" before that. The driver answers, and looks at the
    first field; there is a crash. `own`: what is looked at is a field of its own instead, which the driver could store.
    """
    names = [f"ring.{f}" for f in FIELDS]
    variables = Vars(
        *(Var(name, "ring", 8, name) for name in names), Var("answer", "ring", 8, "what the driver stores"),
        Var("supply.at", "volatile", 0, "label", initial="peek" if peeks == "first" else "0"),
        Var("supply.seen", "volatile", 8, "what was looked at"), Var("supply.peeked", "volatile", 8, "at first"),
        Var("clue", "ring", 8, "what the driver stores besides"),
        Var("driver.at", "driver", 0, "label", initial="idle"), Var("driver.saw", "driver", 8, "what was looked at"),
        Var("alive", "volatile", 1, "1: the process lives", initial=1),
    )  # fmt: skip
    crash = Procedure("crash")

    @crash.step("crash", text="", world=True, when=lambda s: any_of(s.alive == 1))
    def die(s: Any) -> None:
        """Die."""
        s.alive = 0
        s.supply.at = "dead"

    return Table.of_procedures("toy", variables, [back_end(stores, peeks, own=own), driver(), crash], History())


def back_end(stores: Collection[tuple[str, int]], peeks: str, *, own: bool) -> Procedure:
    """Give the steps of the back-end."""
    supply = Procedure("supply")
    if peeks:
        at, to = ("peek", "0") if peeks == "first" else (str(len(stores)), "peeked")

        @supply.step("peek", at=at, to=to, text="")
        def peek(s: Any) -> None:
            """Look at something else."""
            s.supply.peeked = s.clue

    for number, (field, value) in enumerate(stores):

        def do(s: Any, field: str = field, value: int = value) -> None:
            setattr(s.ring, field, value)

        do.__doc__ = "Store."
        supply.step(f"store.{number}", at=str(number), to=str(number + 1), text="")(do)

    @supply.step("look", at="peeked" if peeks == "last" else str(len(stores)), to="end", text="")
    def look(s: Any) -> None:
        """Look at the answer."""
        s.supply.seen = s.ring.x if own else s.answer

    return supply


def driver() -> Procedure:
    """Give the steps of the driver."""
    steps = Procedure("driver")

    @steps.step("answer", at="idle", to="done", text="")
    def reply(s: Any) -> None:
        """Answer, whatever is there."""
        s.answer = 1

    @steps.step("hint", at="hinting", to="hinted", text="")
    def hint(s: Any) -> None:
        """Nobody gets here: the clue is what a driver stores, though."""
        s.clue = 1

    @steps.step("meddle", at="hinting", to="hinted", text="")
    def meddle(s: Any) -> None:
        """Nor here."""
        s.ring.x = 1

    @steps.step("see", at="done", to="seen", text="")
    def see(s: Any) -> None:
        """See what the first field holds."""
        s.driver.saw = s.ring.x

    return steps


def machine(memory: Memory, table: Table, orders: Orders | None = None, window: int = 9) -> MemoryMachine:
    """Put a program on a kind of memory, with nothing kept unless said."""
    keep = orders or Points(frozenset(), frozenset())
    return MemoryMachine(table, Sizes(1, 1), memory, keep, BACK_END, window=window)


def reached(of: MemoryMachine) -> Iterator[StateTuple]:
    """Yield every state."""
    seen, todo = {of.initial()}, [of.initial()]
    while todo:
        state = todo.pop()
        yield state
        for _, _, after in of.successors(state):
            if after not in seen:
                seen.add(after)
                todo.append(after)


def picture(of: MemoryMachine, state: StateTuple) -> tuple[int, ...]:
    """Give the fields as others see them."""
    return tuple(of.get(state, f"ring.{f}") for f in FIELDS)


def alive(of: MemoryMachine) -> Pictures:
    """Give what others may see."""
    return frozenset(picture(of, state) for state in reached(of))


def after_crash(of: MemoryMachine) -> Pictures:
    """Give what the next process may find."""
    return frozenset(picture(of, s) for s in reached(of) if not of.get(s, "alive") and not of.waiting(s))


def compiled(
    stores: Collection[tuple[str, int]], kept: Collection[tuple[int, int]] = (), *, join: bool = False
) -> Pictures:
    """List what memory holds after each instruction, for every order of the stores that a compiler may choose."""
    listed, found = list(stores), set[tuple[int, ...]]()
    fixed = {(a, b) for a in range(len(listed)) for b in range(a + 1, len(listed)) if listed[a][0] == listed[b][0]}
    fixed |= set(kept)
    for order in permutations(range(len(listed))):
        if any(order.index(a) > order.index(b) for a, b in fixed):
            continue
        memory = dict.fromkeys(FIELDS, 0)
        for place, number in enumerate(order):
            found.add(tuple(memory.values()))
            field, value = listed[number]
            memory[field] = value
            if join and place + 1 < len(order):
                neighbour = listed[order[place + 1]]
                memory[neighbour[0]] = neighbour[1]
        found.add(tuple(memory.values()))
    return frozenset(found)


PROGRAMS = (
    (("x", 1), ("y", 1)),
    (("x", 1), ("y", 1), ("z", 1)),
    (("x", 1), ("y", 1), ("x", 2)),
    (("x", 1), ("x", 2), ("y", 1), ("z", 3)),
)


@pytest.mark.parametrize("stores", PROGRAMS)
def test_a_compilers_memory_shows_what_some_order_of_instructions_shows(stores: tuple[tuple[str, int], ...]) -> None:
    """No more and no less, to the driver and to the next process; a memory in program order shows less."""
    others = machine(COMPILER, program(*stores))
    assert alive(others) == compiled(stores)
    assert after_crash(others) == compiled(stores)
    in_order = frozenset(compiled(stores, [(a, a + 1) for a in range(len(stores) - 1)]))
    assert alive(machine(PROGRAM_ORDER, program(*stores))) == in_order < compiled(stores)


@pytest.mark.parametrize("stores", PROGRAMS)
def test_joined_stores_show_nothing_more(stores: tuple[tuple[str, int], ...]) -> None:
    """Why the machine has no event for joining: whatever two stores in one show, they show one after the other."""
    assert compiled(stores, join=True) <= compiled(stores)


@pytest.mark.parametrize("stores", PROGRAMS)
def test_a_processors_memory_shows_others_any_order_but_a_crash_keeps_all(stores: tuple[tuple[str, int], ...]) -> None:
    """ARM: as a compiler's while the process lives; the next process finds stores in the order of the program."""
    arm = machine(ARM, program(*stores))
    in_order = compiled(stores, [(a, a + 1) for a in range(len(stores) - 1)])
    assert alive(arm) == compiled(stores)
    assert after_crash(arm) == in_order


def test_x86_shows_stores_in_order() -> None:
    """Others see them in program order, and so does the next process."""
    stores = PROGRAMS[1]
    in_order = compiled(stores, [(0, 1), (1, 2)])
    assert alive(machine(X86, program(*stores))) == in_order == after_crash(machine(X86, program(*stores)))


@pytest.mark.parametrize("memory", MEMORIES, ids=lambda m: m.name)
def test_a_load_may_come_before_a_store_everywhere_but_in_program_order(memory: Memory) -> None:
    """Both sides store, look, and miss the other's store: on all but one; and nowhere behind a fence."""
    assert missed(machine(memory, program(("x", 1)))) is (memory is not PROGRAM_ORDER)
    assert not missed(machine(memory, program(("x", 1)), Points(frozenset({"look answer"}), frozenset())))


def test_a_point_keeps_what_it_says_and_no_more() -> None:
    """A store after all before it; a store before all after it; a pair left out."""
    stores = PROGRAMS[1]
    last = Points(frozenset({"store.2"}), frozenset())
    assert alive(machine(COMPILER, program(*stores), last)) == compiled(stores, [(0, 2), (1, 2)])
    first = Points(frozenset(), frozenset({"store.0"}))
    assert alive(machine(COMPILER, program(*stores), first)) == compiled(stores, [(0, 1), (0, 2)])


def test_one_access_moves() -> None:
    """The earlier store of a pair, past what no point keeps it from and past the other one; all others stay."""
    stores: tuple[tuple[str, int], ...] = PROGRAMS[1]
    neighbours = Moved(Points(frozenset({"store.2"}), frozenset()), ("store.0", "store.1"))
    assert alive(machine(COMPILER, program(*stores), neighbours)) == compiled(stores, [(0, 2), (1, 2)])
    past = Moved(Points(frozenset({"store.2"}), frozenset()), ("store.0", "store.2"))
    assert alive(machine(COMPILER, program(*stores), past)) == compiled(stores, [(1, 2)])
    kept = replace(past, kept=True)
    assert alive(machine(COMPILER, program(*stores), kept)) == compiled(stores, [(0, 2), (1, 2)])


def missed(of: MemoryMachine) -> bool:
    """Whether each side can miss the other's store, though both store before they look."""
    both = [s for s in reached(of) if of.get(s, "driver.at") == "seen" and of.get(s, "supply.at") == "end"]
    return any(of.get(s, "driver.saw") == 0 and of.get(s, "supply.seen") == 0 for s in both)


@pytest.mark.parametrize("peeks", ["first", "last"])
def test_a_load_made_early_still_comes_after_the_stores_that_it_must_follow(peeks: str) -> None:
    """A load may come before another load, but not before a store that it must follow, be that to come or waiting."""
    table = program(("x", 1), peeks=peeks)
    assert not missed(machine(COMPILER, table, Points(frozenset({"look answer"}), frozenset())))
    assert missed(machine(COMPILER, table, Points(frozenset(), frozenset({"peek clue"}))))


def test_a_load_made_early_does_not_miss_a_store_of_its_own() -> None:
    """Whatever is made early: a field that the agent itself stores in between is as it has stored it."""
    of = machine(COMPILER, program(("x", 5), peeks="first", own=True))
    ended = [state for state in reached(of) if of.get(state, "supply.at") == "end"]
    assert any(event == LOAD for state in reached(of) for event, _, _ in of.enabled(state))
    assert {of.get(state, "supply.seen") for state in ended} == {5}


def test_the_window_limits_what_waits() -> None:
    """With one store at a time only a neighbour's load passes; no state has more that wait."""
    of = machine(COMPILER, program(*PROGRAMS[1]), window=2)
    assert max(len(of.waiting(s)) for s in reached(of)) == 2
    assert alive(machine(COMPILER, program(*PROGRAMS[1]), window=1)) < alive(of) <= compiled(PROGRAMS[1])


def test_the_agent_sees_its_own_stores() -> None:
    """Whatever waits."""
    of = machine(COMPILER, program(("x", 1), ("x", 2)))
    for state in reached(of):
        done = of.get(state, "supply.at")
        if done in ("0", "1", "2"):
            assert of.get(of.seen_by_agent(state), "ring.x") == int(done)
