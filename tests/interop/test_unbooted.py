"""A guest that does not come up: whose fault it may be is said, and nothing is judged."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from refimpl.errors import UsageError
from tests.interop.test_guest import parts
from vhost_inflight.conformance.under_guest import Asked, tried
from vhost_inflight.guest import machine
from vhost_inflight.guest.back_end import GuestOutcome
from vhost_inflight.guest.machine import GuestError, Machine
from vhost_inflight.guest.sides import Side
from vhost_inflight.guest.watched import Watched

__all__ = ["parts"]


class Unbooted:
    """A machine, and the back-end of it; the guest says of its disk ``disk``, or nothing in time."""

    def __init__(self, *, served: bool, disk: str = "") -> None:
        """Say whether QEMU has told the back-end of the guest's memory."""
        self.served, self.disk = served, disk

    def booted(self, _meanwhile: object) -> str:
        """See Machine."""
        if not self.disk:
            raise GuestError("DISK did not come within 120 seconds")
        return self.disk

    def is_served(self) -> bool:
        """See Machine."""
        return self.served

    def start(self) -> None:
        """See Served."""

    complain = start

    def said(self) -> str:
        """See Served."""
        return "nothing"


def refused(unbooted: Unbooted) -> str:
    """Give what is said when it does not boot."""
    side = Side(cast("Machine", unbooted), cast("Any", unbooted))
    with pytest.raises(UsageError) as told:
        Watched(side, GuestOutcome("packed", "hardened", 16, 1, 0), 1).boot()
    return str(told.value).removeprefix("the caller: ")


def test_a_back_end_that_serves_may_hang_the_guest() -> None:
    """Either is to be looked at then; without one that serves it is QEMU alone, and so where the guest has its disk."""
    said = refused(Unbooted(served=True))
    assert said.startswith("the guest did not get its disk from a back-end that serves it, so nothing was judged: look")
    assert all(
        word in said for word in ("conformance --backend-cmd", "crash-test without --guest", "what QEMU runs in")
    )
    for other in (Unbooted(served=False), Unbooted(served=True, disk="DISK vda 1 queues features 0")):
        said = refused(other)
        assert said.startswith("the guest did not boot, so nothing was judged: mend what QEMU runs in, or name another")
        assert "conformance" not in said


@pytest.mark.campaign
@pytest.mark.usefixtures("parts")
def test_one_that_completes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one, which holds every request back: the guest's firmware or its probe waits for ever."""
    monkeypatch.setattr(machine, "BOOT", 20.0)
    held = tmp_path / "held.json"
    held.write_text('{"hold": 1024, "idle": 1000}')
    program = shlex.quote(str(Path(sys.executable).parent / "vhost-inflight"))
    command = f"{program} backend --socket {{socket}} --image {{image}} --schedule {shlex.quote(str(held))}"
    with pytest.raises(UsageError, match="did not get its disk from a back-end that serves it"):
        tried(Asked(command, kills=1))
