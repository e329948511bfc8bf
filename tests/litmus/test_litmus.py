"""What relacy says of the orders, beside what our own machine with ARM's memory says of them.

`orders.cpp` has a program for each shape; relacy explores every execution of it that C11 allows. Where our search found
a run on ARM's memory, the program must be broken without the form that the page gives, and sound with it.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from model import protocol
from model.memory.kinds import ARM, LOAD_LOAD, STORE_LOAD, STORE_STORE
from proofs.orders.answers import Told, load
from tests.conftest import lacking

SOURCE = Path(__file__).with_name("orders.cpp")
HEADER = Path("/usr/include/relacy/relacy.hpp")

SHAPES = {
    STORE_STORE: {"split.supply.5": "publish", "packed.supply.7": "publish"},
    STORE_LOAD: {
        "split.idle.look avail.idx": "look_again", "split.notify.look avail.used_event": "look_again",
        "packed.idle.look ring.desc[].flags": "look_again", "packed.notify.look driver_event.flags": "look_again",
    },
    LOAD_LOAD: {
        "split.fetch.look avail.idx": "take", "split.idle.look avail.idx": "take",
        "packed.fetch.look ring.desc[].flags": "take", "packed.idle.look ring.desc[].flags": "take",
        "packed.notify.look driver_event.flags": "wish",
    },
}  # fmt: skip
"""The program of a pair, by its kind and the access that keeps it: the later one, of two loads the earlier one."""

PROGRAMS = ("publish", "take", "look_again", "wish")


@cache
def needed() -> tuple[tuple[str, Told], ...]:
    """Give the pairs that a run shows to be needed on ARM, with their rings."""
    return tuple((ring, t) for ring in protocol.RINGS for t in load(ring)[1] if t.answers and t.answers[ARM.name].run)


def program_of(told: Told) -> str:
    """Give the program of a pair."""
    return SHAPES[told.row.kind][told.row.earlier if told.row.kind == LOAD_LOAD else told.row.later]


@pytest.fixture(scope="module")
def litmus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the programs, once."""
    if not HEADER.exists():
        lacking("relacy not found (Debian: apt-get install relacy-dev)")
    compiler = shutil.which("g++")
    if compiler is None:
        lacking("g++ not found")
    program = tmp_path_factory.mktemp("litmus") / "orders"
    subprocess.run([compiler, "-std=c++11", "-w", "-O0", SOURCE, "-o", program], check=True, timeout=300)
    return program


def says(litmus: Path, program: str, form: str) -> str:
    """Give what relacy says of a program, with the form that keeps the order or without it."""
    ran = subprocess.run([litmus, program, form], check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.splitlines()[-1]


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_form_is_needed_and_enough(litmus: Path, program: str) -> None:
    """Sound with it, broken without."""
    assert (says(litmus, program, "kept"), says(litmus, program, "dropped")) == ("sound", "broken")


def test_every_needed_order_has_a_program() -> None:
    """Each pair for which there is a run on ARM's memory; and no program is there for nothing."""
    assert {program_of(told) for _, told in needed()} == set(PROGRAMS)


def test_usage(litmus: Path) -> None:
    """Another name is none."""
    assert subprocess.run([litmus, "nothing", "kept"], check=False, capture_output=True).returncode == 2
