"""What is said of a name that does not exist."""

from __future__ import annotations

import pytest

from refimpl.names import no_such

MANY = [f"split.supply.{number}" for number in range(30)]


@pytest.mark.parametrize(
    ("name", "names", "text"),
    [
        ("kpet", ["kept", "renewed", "kept"], "there is no choice 'kpet'; perhaps: kept"),
        ("zero", ["kept", "renewed", "kept"], "there is no choice 'zero'; there are: kept, renewed"),
        ("7", MANY, "there is no choice '7'; `vhost-inflight explain` lists what there is"),
        ("y.27", MANY, "there is no choice 'y.27'; perhaps: split.supply.27"),
        ("zzzz", MANY, "there is no choice 'zzzz'; `vhost-inflight explain` lists what there is"),
        ("z" * 5000, MANY, f"there is no choice '{'z' * 40} ...'; `vhost-inflight explain` lists what there is"),
    ],
)
def test_names_near_it(name: str, names: list[str], text: str) -> None:
    """Those near it, or that have it in them, each once; all of few; of many none but a way to see them."""
    assert no_such("choice", name, names) == text
