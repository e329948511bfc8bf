"""Defaults are what is proved: the revision that the reference follows unasked, held against the recorded verdicts."""

from __future__ import annotations

import pytest

from model import protocol
from model.properties import NAMES
from proofs.verdicts import recorded
from refimpl.choices import PROVED


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_the_default_is_the_first_revision_of_which_every_property_is_proved(ring: str) -> None:
    """Under the default of every gap, as a back-end takes them."""
    verdicts = {(v.revision, v.property): v.verdict for v in recorded(ring) if not v.gaps}
    proved = [r for r in protocol.revisions(ring) if {verdicts[r, name] for name in NAMES} == {"proved"}]
    assert PROVED[ring] == proved[0]
