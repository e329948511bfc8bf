"""Back-ends of others, built from Debian's packages and killed: what is known of them is found again.

Each case here was found by the whole command first (docs/implementations.md); in CI they are built where they are not.
"""

from __future__ import annotations

from functools import cache

import pytest

from model import protocol
from refimpl.choices import Choices
from tests.conftest import IN_CI, lacking
from tools.follow import HELD, OURS, Held
from vhost_inflight.conformance.campaign import Campaign
from vhost_inflight.conformance.foreign.prepare import backend_command, built
from vhost_inflight.conformance.life import Setup, UnsupportedError
from vhost_inflight.conformance.load import LOADS
from vhost_inflight.conformance.points import Case
from vhost_inflight.conformance.process import Command
from vhost_inflight.conformance.trying import Verdict
from vhost_inflight.following.follower import follow
from vhost_inflight.guest.prepare import MissingError


@cache
def command(name: str) -> Command:
    """Give the command of a back-end; skip where it was not built, and in CI build it."""
    if not IN_CI and not built(name):
        lacking(f"python -m vhost_inflight.conformance.foreign.prepare {name} makes it")
    try:
        return Command(backend_command(name))
    except MissingError as error:
        lacking(str(error))


def tried(name: str, case: str) -> Verdict:
    """Try a case."""
    read = Case.read(case)
    return Campaign(Setup(command(name), Choices(ring=read.ring), patience=2)).run(read)


@pytest.mark.parametrize(
    "case", ["split-mixed-calm", "split-mixed-5-after", "split-mixed-30-before", "split-queues-12-after"]
)
def test_qemus_survives_a_crash(case: str) -> None:
    verdict = tried("qemu", case)
    assert (verdict.word, verdict.why) == ("pass", "")


def test_qemus_stores_have_functions() -> None:
    """The first ones are those of a fresh region."""
    found = Campaign(Setup(command("qemu"), Choices())).points(LOADS["mixed"])
    assert [str(point) for point in found[:2]] == ["region.desc_num := 8", "region.version := 1"]


def test_qemus_leaves_a_fresh_region_of_a_ring_in_use_that_nobody_else_can_take() -> None:
    """Its used_idx stays 0 until the first request is settled; its own next process copes."""
    verdict = tried("qemu", "split-in-use-4-after")
    assert [(broken.property, broken.seen_by) for broken in verdict.broken] == [("well-formed", "memory")]


def test_storage_daemon_tracks_nothing() -> None:
    with pytest.raises(UnsupportedError, match="unsupported: no INFLIGHT_SHMFD"):
        tried("storage", "split-mixed-calm")


@pytest.mark.parametrize(("case", "word"), [("split-mixed-6-before", "wedged"), ("packed-mixed-5-before", "reject")])
def test_a_program_on_dpdk_does_not_survive(case: str, word: str) -> None:
    """Split: dead between publishing and calling, nobody calls. Packed: a mark in a free entry is believed."""
    assert tried("dpdk", "split-mixed-calm").word == "pass"
    assert tried("dpdk", case).word == word


def test_what_a_library_stores_in_a_thread_of_its_own_is_seen() -> None:
    """DPDK takes the messages in a thread that was there before anybody could trace it."""
    found = Campaign(Setup(command("dpdk"), Choices(ring="packed"))).points(LOADS["mixed"])
    assert [str(point) for point in found[:2]] == ["region.desc_num := 8", "region.version := 1"]


OFTEN = ("packed-in-use-calm", "packed-mixed-76-after", "split-mixed-40-after")
"""Of DPDK's cases: a fresh region of a ring in use, a death in a chain's settling, and one on the other ring."""


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(
            held, id=held.name, marks=pytest.mark.campaign if held.back_end == "dpdk" and held.case not in OFTEN else ()
        )
        for held in HELD
        if held.back_end != OURS
    ],
)
def test_the_stores_are_those_of_the_profile(held: Held) -> None:
    command(held.back_end)
    assert follow(protocol.table(held.subject), held.live(), held.without) is None
