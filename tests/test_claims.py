"""docs/properties.md leads from each property to what is really there."""

from __future__ import annotations

import re
from pathlib import Path

from model.properties import NAMES
from tools import claims

ROOT = Path(__file__).parents[1]


def test_every_property_is_judged_in_the_model_and_for_real() -> None:
    """A predicate of both rings, or a comparison of runs; a proof; a mutant; judges of both kinds."""
    rows = {re.findall(r"\*\*([\w-]+)\*\*", row[0])[0]: row for row in claims.rows()}
    assert set(rows) == set(NAMES)
    for name, (_, said, proof, mutants, judges) in rows.items():
        assert said.count("properties.py") >= 2 or name in claims.BY_WHAT, name
        assert all(ring in column for ring in ("split: ", "packed: ") for column in (proof, mutants)), name
        assert all(f"{what}: " in judges for what in claims.JUDGES), name


def test_what_is_named_is_there() -> None:
    """Each predicate is a function of the module that the row leads to."""
    for row in claims.rows():
        for predicate, path in re.findall(r"\[`(\w+)`\]\(\.\./([\w/.]+)\)", row[1]):
            assert f"def {predicate}(" in (ROOT / path).read_text(encoding="utf-8")
