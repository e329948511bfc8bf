"""What the oracle is given: its reader refuses what the schema refuses, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from refimpl.errors import UsageError
from tests.refimpl.packed_rig import PackedRig
from tests.test_recover import interrupted, state
from vhost_inflight.recover import GivenError, parse, schema

VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 8, 8.0, 8.5, 65535, 65536, 2**32 - 1, 2**64 - 1, 2**64, 1e300, "", "00",
    "split", "packed", "v6", "drain-under-drain",
    "hex", "base64", "vhost-inflight state 1", [], {}, [1], {"a": 1}, {"reset": "kept"}, [{"address": 0, "bytes": ""}],
    [{"address": 2**64 - 1, "bytes": "00"}], [{"address": -1, "bytes": "00"}], [{"address": 1}], [{"bytes": "00"}],
    {"descriptors": "00"}, {"descriptors": "", "available": "", "used": ""}, {"descriptors": "", "driver_event": ""},
    ...,
]  # fmt: skip
"""What a field is set to; it is left out for ``...``."""

NAMES = [
    "format", "ring", "revision", "gaps", "encoding", "queue_size", "region_size", "region", "ring_memory", "memory",
    "base", "stopped", "stride", "offset", "shared", "queues", "queue", "other",
    "ring_memory.descriptors", "ring_memory.used", "ring_memory.driver_event", "ring_memory.other",
    "memory.0.address", "memory.0.bytes", "memory.0.other", "gaps.reset", "gaps.other",
]  # fmt: skip
CHANGES = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), min_size=2, max_size=4)


def changed(document: dict[str, Any], name: str, value: Any) -> None:
    """Set a field of a document, or delete it for ``...``, where there is such a place."""
    place: Any = document
    *path, last = name.split(".")
    for part in path:
        inside = isinstance(place, list) and part.isdigit() and int(part) < len(place)
        place = place[int(part)] if inside else place.get(part) if isinstance(place, dict) else None
    if isinstance(place, dict) and value is ...:
        place.pop(last, None)
    elif isinstance(place, dict):
        place[last] = value


def agree(ring: str, changes: list[tuple[str, Any]]) -> None:
    """Change a state, and hold its reader against its schema; only what stands for bytes the schema cannot judge."""
    document = state(interrupted() if ring == "split" else PackedRig())
    document = copy.deepcopy(document) | {"memory": [{"address": 0, "bytes": "00"}]}
    for name, value in changes:
        changed(document, name, copy.deepcopy(value))
    wanted = Draft202012Validator(schema("input")).is_valid(document)
    refused = ""
    try:
        parse(document)
    except GivenError as error:
        refused = str(error)
    except UsageError:
        pass  # a revision, a gap or a choice that does not exist: the schema takes any name
    of_bytes = ": no hex: " in refused or ": no base64: " in refused
    assert of_bytes or wanted == (not refused), changes


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_the_reader_and_the_schema_agree(ring: str) -> None:
    """Of each field that is missing, surplus or of another kind."""
    for name in NAMES:
        for value in VALUES:
            agree(ring, [(name, value)])


@given(st.sampled_from(["split", "packed"]), CHANGES)
def test_they_agree_of_several_fields(ring: str, changes: list[tuple[str, Any]]) -> None:
    """Of several at once."""
    agree(ring, changes)
