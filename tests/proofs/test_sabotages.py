"""The prover, sabotaged: one of each kind, put into a copy, where the check that the record names has to fail."""

from __future__ import annotations

from collections import Counter

import pytest

from proofs.challenges import sabotages
from proofs.challenges.sabotages import SABOTAGES, Sabotage, noticed_by, one_of_each_kind, recorded


def test_each_sabotage_has_a_name_of_its_own_and_was_noticed() -> None:
    assert [name for name, times in Counter(s.name for s in SABOTAGES).items() if times > 1] == []
    assert recorded().keys() == {s.name for s in SABOTAGES}, "python -m proofs.challenges.sabotages --new --record"


def test_there_is_one_of_each_kind() -> None:
    assert {sabotage.kind for sabotage, _ in one_of_each_kind()} == {s.kind for s in SABOTAGES}


@pytest.mark.parametrize(("sabotage", "check"), [pytest.param(*p, id=p[0].kind) for p in one_of_each_kind()])
def test_it_is_noticed(sabotage: Sabotage, check: str) -> None:
    told = noticed_by(sabotage, [check])
    assert told is not None, f"{sabotage.name} goes unnoticed by {check}"


def test_what_changes_nothing_is_not_noticed() -> None:
    """Or the checks fail in any copy, and notice nothing."""
    kept = Sabotage("nothing", "left out", "proofs/induction/goals.py", "\n", "\n")
    assert noticed_by(kept, ["goals"]) is None


def test_a_line_that_is_not_there_is_said() -> None:
    with pytest.raises(ValueError, match="has no such line"):
        noticed_by(Sabotage("nowhere", "left out", "proofs/induction/goals.py", "no such line", ""), ["goals"])


def test_what_is_noticed_is_said_and_what_is_not_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = SABOTAGES[:2]
    monkeypatch.setattr(sabotages, "noticed_by", lambda s, _: "goals: one is missing" if s == one else None)
    assert sabotages.main([one.name, other.name]) == 1
    said = capsys.readouterr().out
    assert f"{one.name}: goals: one is missing" in said
    assert f"{other.name}: UNNOTICED" in said
    assert "2 sabotages, 1 noticed" in said
    assert sabotages.main([one.name]) == 0
