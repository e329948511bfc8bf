"""JSON from outside: what is read, and what is refused in a line that says why."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.documents import STDIO, DocumentError, read_document, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

REFUSED = {
    "empty": (b" \n", "no JSON: it is empty"),
    "no json": (b"{", "no JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
    "no text": (b'"\xff"', "no JSON: byte 1 is no utf-8 text"),
    "twice": (b'{"a": {"b": 1, "b": 1}}', 'the key "b" is there twice in one object'),
    "twice, long": (b'{"%s": 1, "%s": 1}' % (b"a" * 5000, b"a" * 5000), 'aaa ... aaaaaaaaa" is there twice'),
    "NaN": (b'{"a": NaN}', "NaN is no number of JSON"),
    "infinity": (b"[-Infinity]", "-Infinity is no number of JSON"),
    "long number": (b"9" * 5000, "a number of 5000 digits"),
    "lists": (b"[" * 100_000 + b"]" * 100_000, "nested more than 100 levels deep"),
    "objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested more than 100 levels deep"),
    "open lists": (b"[" * 100_000, "nested more than 100 levels deep"),
    "101 levels": (b"[" * 101 + b"1" + b"]" * 101, "nested more than 100 levels deep"),
    "large": (b" " * (64 << 20) + b"1", "more than 64 MiB"),
}


@given(VALUES)
def test_json_is_read(value: object) -> None:
    """As Python's own reader does, where nothing is said twice."""
    assert read_json(json.dumps(value).encode()) == value


def test_a_hundred_levels_are_read() -> None:
    """The limit itself."""
    assert read_json(b"[" * 99 + b"1" + b"]" * 99) is not None


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=list(REFUSED))
def test_the_rest_is_refused(content: bytes, why: str) -> None:
    """With one short line."""
    with pytest.raises(DocumentError) as refused:
        read_json(content)
    assert why in str(refused.value)
    assert len(str(refused.value)) < 200


def test_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is standard input; a file without an end is not read to it."""
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": 1}')
    assert read_document(path) == {"a": 1}
    path.write_bytes(b"{")
    with pytest.raises(DocumentError, match=f"{path}: no JSON: "):
        read_document(path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[1]")))
    assert read_document(STDIO) == [1]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[1, 1")))
    with pytest.raises(DocumentError, match="standard input: no JSON"):
        read_document(STDIO)
    with pytest.raises(DocumentError, match="/dev/zero: more than 64 MiB"):
        read_document(Path("/dev/zero"))
