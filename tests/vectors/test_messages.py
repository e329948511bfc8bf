"""The contract: its reader, its schemas, its lines of words and its page say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.vectors import handmade
from vhost_inflight.vectors import messages, text
from vhost_inflight.vectors.adapters import reference
from vhost_inflight.vectors.messages import MessageError

PAGE = Path(__file__).parents[2] / "docs" / "vectors.md"
VECTORS = {vector.kind: vector for vector in reversed(handmade.all_of_them())}
READY = dict(reference._READY)


def valid(name: str, message: Any) -> bool:
    """Whether a message fits the schema of its name."""
    schema = messages.schema() | {"$ref": f"#/$defs/{name}"}
    return bool(Draft202012Validator(schema).is_valid(message))


def test_the_schemas_are_schemas() -> None:
    Draft202012Validator.check_schema(messages.schema())


@pytest.mark.parametrize("vector", handmade.all_of_them(), ids=lambda vector: vector.id)
def test_what_is_asked_and_answered_fits_the_schemas(vector: Any) -> None:
    asked = messages.run(vector)
    assert valid("start", dict(messages.START))
    assert valid("run", asked)
    assert not {"expect", "mask", "note", "catches"} & set(asked), "an adapter is not told what is right"
    assert valid("answer", reference.answer(asked))
    assert valid("stop", dict(messages.STOP))


def changed(message: Any, *path: Any, to: Any) -> Any:
    """Give a message with one value changed, or left out (to is the ellipsis)."""
    made = json.loads(json.dumps(message))
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    if to is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return made


STATE, TRACE = (reference.answer(messages.run(VECTORS[kind])) for kind in ("state", "trace"))
WRONG_STATES = [
    ((), "what"),
    ((), None),
    ((), [1]),
    (("id",), 7),
    (("id",), ...),
    (("answer",), ...),
    (("more",), 1),
    (("answer",), {}),
    (("answer", "resubmit"), 1),
    (("answer", "resubmit"), [70000]),
    (("answer", "resubmit"), [True]),
    (("answer", "resubmit"), ["1"]),
    (("answer", "next_avail"), -1),
    (("answer", "next_avail"), 1.5),
    (("answer", "used"), None),
    (("answer", "counter"), 2**64),
    (("answer", "counter"), ...),
    (("answer", "region"), "0"),
    (("answer", "region"), "0G"),
    (("answer", "region"), "AB"),
    (("answer", "more"), 1),
    (("answer", "ring_memory"), []),
    (("answer", "ring_memory", "used"), 0),
    (("answer", "chains"), 1),
    (("answer", "chains"), [1]),
    (("answer",), {"refused": "the weather"}),
    (("answer",), {"refused": "driver", "x": 1}),
]
WRONG_TRACES = [
    (("answer",), {}),
    (("answer", 0), 1),
    (("answer", 0, "fetched"), "1"),
    (("answer", 0, "fetched"), ...),
    (("answer", 0, "stores"), {}),
    (("answer", 0, "stores"), [[]]),
    (("answer", 0, "stores"), [["region", 0]]),
    (("answer", 0, "stores"), [["nowhere", 0, "00"]]),
    (("answer", 0, "stores"), [["region", -1, "00"]]),
    (("answer", 0, "stores"), [["region", 0, ""]]),
    (("answer", 0, "stores"), [["region", 0, "0"]]),
]


@pytest.mark.parametrize(
    ("kind", "path", "to"), [*(("state", *one) for one in WRONG_STATES), *(("trace", *one) for one in WRONG_TRACES)]
)
def test_the_reader_refuses_what_the_schema_does(kind: str, path: tuple[Any, ...], to: Any) -> None:
    right = STATE if kind == "state" else TRACE
    said = changed(right, *path, to=to) if path else to
    assert not valid("answer", said)
    with pytest.raises(MessageError):
        messages.read_answer(said, VECTORS[kind])


@pytest.mark.parametrize(
    "to",
    [
        {**READY, "version": 2},
        {**READY, "name": 1},
        {**READY, "rings": "split"},
        {**READY, "choices": "settle=wide"},
        {**READY, "choices": {"settle": "wide"}},
        {**READY, "more": []},
        {},
        [],
        None,
    ],
)
def test_an_answer_to_start_that_is_none_is_refused(to: Any) -> None:
    assert not valid("ready", to)
    with pytest.raises(MessageError):
        messages.read_ready(to)


def test_choices_may_be_said() -> None:
    """In both forms; who says nothing makes none."""
    assert messages.read_ready(READY).choices == ()
    told = READY | {"choices": ["settle=wide"]}
    assert valid("ready", told)
    assert messages.read_ready(told).choices == ("settle=wide",)
    words = text.ready("ready 1 my own\nrings packed\nkinds state\nrevisions hardened\nchoices settle=wide\nend\n")
    assert messages.read_ready(words).choices == ("settle=wide",)


def test_an_answer_to_another_case_is_none() -> None:
    with pytest.raises(MessageError, match="it answered to"):
        messages.read_answer({"id": "split-other", "unsupported": "why"}, VECTORS["state"])


def test_lines_of_words_say_what_json_says() -> None:
    """Of a state, in any order; of a life; and what is no result."""
    state = VECTORS["state"]
    memory = STATE["answer"]["ring_memory"]
    lines = [
        f"result {state.id}",
        f"resubmit {' '.join(map(str, STATE['answer']['resubmit']))}".rstrip(),
        *(f"after {part} {content}" for part, content in memory.items()),
        f"after region {STATE['answer']['region']}",
        f"used {STATE['answer']['used']}",
        f"next_avail {STATE['answer']['next_avail']}",
        f"counter {STATE['answer']['counter']}",
        *(f"chain {chain[0]}" for chain in STATE["answer"]["chains"]),
        "end",
    ]
    assert text.answer("\n".join(lines) + "\n", state) == STATE
    trace = [f"result {VECTORS['trace'].id}"]
    for op in TRACE["answer"]:
        trace += ["op", *(f"store {part} {offset} {content}" for part, offset, content in op["stores"])]
        trace += [] if op["fetched"] is None else [f"fetched {op['fetched']}"]
    assert text.answer("\n".join([*trace, "end"]) + "\n", VECTORS["trace"]) == TRACE
    assert text.answer("refused A driver\nend\n", state) == {"id": "A", "answer": {"refused": "driver"}}
    assert text.answer("unsupported A not yet\nend\n", state) == {"id": "A", "unsupported": "not yet"}
    ready = "ready 1 my own\nrings split\nkinds state\nrevisions\nend\n"
    told = {"version": 1, "name": "my own", "rings": ["split"], "kinds": ["state"], "revisions": []}
    assert text.ready(ready) == told


@pytest.mark.parametrize(
    "said",
    [
        "end\n",
        "hello\nend\n",
        "result A\nend of it\nend\n",
        "result A\nresubmit x\nend\n",
        "refused A driver\nx\nend\n",
        "result A\nused 1\nused 1\nend\n",
        "result A\nafter region 00\nafter region 00\nend\n",
        "result A\nused 1:\nend\n",
        "result A\nused ²\nend\n",
        "result A\ncounter 999999999999999999999\nend\n",
    ],
)
def test_lines_that_are_none_are_refused(said: str) -> None:
    with pytest.raises(MessageError):
        text.answer(said, VECTORS["state"])


@pytest.mark.parametrize(
    "said",
    ["result A\nstore region 0 00\nend\n", "result A\nop\nstore region 0\nend\n", "result A\nop\nfetched x\nend\n"],
)
def test_lines_of_a_life_that_are_none_are_refused(said: str) -> None:
    with pytest.raises(MessageError):
        text.answer(said, VECTORS["trace"])


def test_the_messages_of_the_page_fit_the_schemas() -> None:
    """And are those of the vector that they speak of."""
    part = PAGE.read_text(encoding="utf-8").partition("<!-- messages -->")[2].partition("<!-- end -->")[0]
    told = [json.loads(line) for line in part.splitlines() if line.strip()]
    names = ["start", "ready", "run", *["answer"] * 5, "stop"]
    assert [name for name, message in zip(names, told, strict=True) if not valid(name, message)] == []
    assert told[2] == messages.run(VECTORS_BY_ID["split-published"])
    right = reference.answer(told[2])
    right["answer"].pop("chains")
    assert told[3] == right
    assert told[4]["answer"] == reference.answer(messages.run(VECTORS_BY_ID["split-life"]))["answer"][:2]


VECTORS_BY_ID = {vector.id: vector for vector in handmade.all_of_them()}
