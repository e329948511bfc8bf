"""What options are checked for before any work is done."""

from __future__ import annotations

import pytest
import typer

from model import protocol
from model.terms import ModelError
from refimpl.choices import GAPS_OF
from vhost_inflight.options import check_played


def test_a_gap_that_the_model_has_alone_is_said_to_be_so() -> None:
    """Each that is listed and that no process plays, with the commands that have it; of what is played nothing."""
    rings: dict[tuple[str, str], list[str]] = {}
    for ring in protocol.RINGS:
        for name, gap in protocol.judged(ring).items():
            for alternative in gap.alternatives:
                rings.setdefault((name, alternative.name), []).append(ring)
    alone = {asked for asked in rings if not any(asked[0] in known for known in GAPS_OF.values())}
    assert {"flags-of-others", "stop", "in-order"} <= {name for name, _ in alone}
    for name, choice in rings.keys() - alone:
        check_played({name: choice})
    for name, choice in alone:
        with pytest.raises(typer.BadParameter) as refused:
            check_played({name: choice})
        only = f" --ring {rings[name, choice][0]}" if len(rings[name, choice]) == 1 else ""
        assert refused.value.message.startswith(f"gap {name} is the model's alone")
        assert f"`vhost-inflight verify{only} --gap {name}={choice}`" in refused.value.message
        assert ("--stop" in refused.value.message) == (name == "stop")
    check_played({"flags-of-other": "any"})  # who plays it says that there is no such gap
    with pytest.raises(ModelError, match="gap flags-of-others has no choice 'none'; it has: last-first, in-order"):
        check_played({"flags-of-others": "none"})
