"""The back-end in C by itself: it serves both rings without a complaint of the sanitizers, and refuses in words."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from refimpl.choices import Choices
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import GuestRam
from refimpl.wire.features import EVENT_IDX, WANTED
from tests.conformance import c
from vhost_inflight.conformance.life import Rig, Setup
from vhost_inflight.conformance.load import LOADS
from vhost_inflight.conformance.process import Command


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("load", LOADS)
def test_each_load_comes_back_whole(programs: Path, tmp_path: Path, ring: str, load: str) -> None:
    setup = Setup(Command(c.command(programs, sanitized=True)), Choices(ring=ring), patience=5)
    with Rig(setup, LOADS[load], tmp_path) as rig:
        ending = rig.live()
        assert (ending.how, ending.why) == ("done", "")
        assert len(rig.client.requests) == sum(map(len, LOADS[load].rounds))
        assert rig.client.outstanding == []
        rig.client.judge_disk(rig.disk)
        assert rig.client.wrong == []


@pytest.mark.parametrize(("packed", "event_index"), [(False, True), (False, False), (True, False)])
def test_a_disk_client_reads_what_it_wrote_and_stops(
    programs: Path, tmp_path: Path, *, packed: bool, event_index: bool
) -> None:
    """With a stop and a start in between, which take SET_VRING_BASE from GET_VRING_BASE.

    A split ring without event indexes is that of a guest's firmware: avail.flags say whether to notify.
    """
    image = tmp_path / "image"
    image.write_bytes(bytes(64 * 512))
    command: list[Path | str] = [c.built(programs, sanitized=True), tmp_path / "socket", image, "3"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    with GuestRam(1, 4, 1024, packed=packed) as ram:
        features = WANTED if event_index else WANTED & ~EVENT_IDX
        with FrontEnd(tmp_path / "socket", ram, features=features) as front_end:
            front_end.connect()
            front_end.start()
            guest = Guest(front_end)
            guest.write(3, b"x" * 1024)
            front_end.stop()
            front_end.start()
            assert guest.read(3, 1024) == b"x" * 1024
            guest.flush()
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (0, b"")
    assert image.read_bytes()[3 * 512 : 5 * 512] == b"x" * 1024


@pytest.mark.parametrize("words", [[], ["socket"], ["socket", "image", "0"], ["socket", "nothing"]])
def test_bad_usage_is_told(programs: Path, tmp_path: Path, words: list[str]) -> None:
    ran = subprocess.run([c.built(programs), *words], cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode in {1, 2}
    assert ran.stderr.startswith((b"usage: ", b"backend: "))
