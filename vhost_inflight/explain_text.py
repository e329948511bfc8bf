"""The answers of vhost_inflight.explain as text for a reader, at most about a screen wide."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from vhost_inflight import explain_profiles
from vhost_inflight.explain import Answer

__all__ = ["text"]

_WIDTH = 100
_PARTS = {
    "goes_to": "goes to",
    "procedure_guard": "always",
    "assigns": "does",
    "stores_to": "stores to",
}


def text(answer: Answer) -> str:
    """Write an answer, whatever its kind, as lines of text."""
    writers = {
        "step": _step,
        "property": _property,
        "gap": _gap,
        "reading": _gap,
        "later": _gap,
        "revision": _revision,
        "choice": _choice,
        "erratum": _mend,
        "order": _mend,
        "edit": _edit,
        "profile": _profile,
        "steps": _steps,
        "index": _index,
        "names": _names,
        "difference": _difference,
    }
    return "\n".join(writers[answer["kind"]](answer))


def _lines(label: str, value: str, indent: int = 0) -> Iterator[str]:
    """Yield a label and what stands beside it, wrapped."""
    start = " " * indent + f"{label:<10} "
    yield from wrap(value, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)


def _step(answer: Answer) -> Iterator[str]:
    yield f"{answer['id']}: a step of the {answer['ring']} ring, procedure {answer['procedure']}"
    for written in answer["writings"]:
        yield ""
        yield from _lines("in", ", ".join(written["in"]))
        yield from _writing(written)
    if answer["changed_by"] or answer["missing_with"]:
        yield ""
        yield from _lines("other with", "; ".join(answer["changed_by"]))
        yield from _lines("not with", "; ".join(answer["missing_with"]))
    for proposed in answer["proposed"]:
        yield ""
        yield from _lines("proposed", f"{proposed['place'] or 'behind the lists'}, for {_list(proposed['mends'])}:")
        yield from _lines("", proposed["sentence"])


def _writing(written: Answer) -> Iterator[str]:
    yield from _lines("text", written["text"])
    yield from _lines("sentence", written["sentence"])
    if written["leaves"]:
        leaves = " or ".join(repr(label) for label in written["leaves"])
        goes = f"goes to {written['goes_to']!r}" if written["goes_to"] else "stays there (a loop)"
        yield from _lines("label", f"leaves {leaves}, {goes}")
    if written["choice"]:
        yield from _lines("choice", f"a {written['choice']}, any that the guard allows")
    yield from _lines("always", written["procedure_guard"])
    yield from _lines("guard", written["guard"])
    for assignment in written["assigns"]:
        stores = _target(assignment) in written["stores_to"]
        yield from _lines("store" if stores else "local", assignment)
    for assignment in written["history"]:
        yield from _lines("history", assignment)
    yield from _lines("judged", ", ".join(written["judged"]))


def _target(assignment: str) -> str:
    """Give the name of the variable that an assignment writes, without its index."""
    name = assignment.split(" := ", maxsplit=1)[0]
    start, end = name.find("["), name.rfind("]") + 1
    if start < 0:
        return name
    return f"{name[:start]}[]{name[end:]}" if name[end:] else name[:start]


def _property(answer: Answer) -> Iterator[str]:
    yield f"{answer['id']}: a property, as it is judged on the {answer['ring']} ring"
    yield from _lines("says", answer["sentence"], 2)
    for judged in answer["judged"]:
        yield from _lines("judged", judged["when"], 2)
        if judged["sentence"]:
            yield from _lines("", judged["sentence"], 2)
            yield from _lines("", judged["predicate"], 2)


def _where(what: str, answer: Answer) -> str:
    """Say where a gap is open; of what is open nowhere, of which revisions it is judged."""
    ring = f"the {answer['ring']} ring's text"
    if answer["kind"] == "later" or (answer["kind"] == "choice" and answer["is_later"]):
        told = f"a question that the specification raised after the chapter, on the {answer['ring']} ring"
        return f"{told}, judged of {_list(answer['judged'])}"
    if not answer["revisions"]:
        return f"a reading of {ring}, open in no revision, judged of {_list(answer['judged'])} (verify --readings)"
    return f"{what} of {ring}, open in {_list(answer['revisions'])}"


def _gap(answer: Answer) -> Iterator[str]:
    yield f"{answer['id']}: {_where('a gap', answer)}"
    yield from _lines("question", answer["question"], 2)
    yield from _lines("default", answer["default"], 2)
    yield from _lines("reason", answer["reason"], 2)
    for said in answer["proposed"]:
        yield from _lines("proposed", said["sentence"], 2)
    for name in answer["errata"]:
        yield from _lines("more", f"docs/errata-2026.md, {name}", 2)
    for alternative in answer["alternatives"]:
        yield ""
        yield f"* {alternative['name']}: {alternative['meaning']}"
        yield from _changes(alternative["changes"])


def _revision(answer: Answer) -> Iterator[str]:
    yield f"{answer['id']}: a revision of the text, on the {answer['ring']} ring"
    yield from _lines("is", answer["sentence"], 2)
    yield from _lines("steps", str(len(answer["steps"])), 2)
    yield from _lines("open gaps", _list(answer["open_gaps"]), 2)
    if answer["before"]:
        yield ""
        yield f"{answer['before']} -> {answer['id']}"
        yield from _changes(answer["changes"]) if answer["changes"] else ["no step changes; no gap stays open"]
        yield from _sentences("+", answer["sentences"])


def _difference(answer: Answer) -> Iterator[str]:
    yield f"--- {answer['before']}, {answer['ring']} ring"
    yield f"+++ {answer['after']}"
    same = "no step is another" if answer["sentences"] else "no difference"
    yield from _changes(answer["changes"]) if answer["changes"] else [same]
    yield from _sentences("+" if answer["after"] == "hardened" else "-", answer["sentences"])


def _sentences(mark: str, sentences: list[Answer]) -> Iterator[str]:
    """Show what the text says behind its lists, each by the names of the mends that say it."""
    if sentences:
        yield "@@ behind the lists"
    for each in sentences:
        yield from wrap(_list(each["mends"]), _WIDTH, initial_indent=f"{mark} ", subsequent_indent=f"{mark} ")
        yield from _part(mark, "says", each["sentence"])


def _changes(changes: list[Answer]) -> Iterator[str]:
    procedure = None
    for change in changes:
        if change["procedure"] != procedure:
            procedure = change["procedure"]
            yield f"@@ {procedure}"
        mark = {"inserted": "+", "removed": "-", "replaced": "~"}[change["change"]]
        yield f"{mark} {change['id']}"
        for part in change["parts"]:
            if part["part"] in ("stores_to", "history", "judged") and change["change"] != "replaced":
                continue
            yield from _part("-", part["part"], part["old"])
            yield from _part("+", part["part"], part["new"])


def _part(mark: str, name: str, value: Any) -> Iterator[str]:
    values = value if isinstance(value, list) and name in ("assigns", "history") else [value]
    for one in values:
        words = _list(one) if isinstance(one, list) else str(one or "")
        if words:
            start = f"{mark}     {_PARTS.get(name, name):<11}"
            follow = mark + " " * (len(start) - 1)
            yield from wrap(words, _WIDTH, initial_indent=start, subsequent_indent=follow, break_on_hyphens=False)


def _choice(answer: Answer) -> Iterator[str]:
    kind = "the default" if answer["default"] else "a choice"
    gap = answer["id"].partition("=")[0]
    yield f"{answer['id']}: {kind} of {_where('a gap', answer)}"
    yield from _lines("question", answer["question"], 2)
    yield from _lines("means", answer["meaning"], 2)
    yield from _lines("more", f"vhost-inflight explain {gap} --ring {answer['ring']}", 2)
    if answer["changes"]:
        yield ""
        yield f"{answer['changes_are_of']} -> {answer['changes_are_of']} {answer['id']}"
        yield from _changes(answer["changes"])


def _mend(answer: Answer) -> Iterator[str]:
    kind = "an erratum" if answer["kind"] == "erratum" else "a mend"
    rings = " and of the ".join(answer["rings"])
    yield f"{answer['id']}: {kind} of the text, of the {rings} ring"
    yield from _lines("about", answer["about"], 2)
    if answer["edit"]:
        yield from _lines("edit", answer["edit"], 2)
    if answer["needs"]:
        yield from _lines("needs", f"{_list(answer['needs'])}: without that it does harm", 2)
    if answer["run"]:
        run = answer["run"]
        yield from _lines("a run", f"of {run['revision']}; it violates {run['property']}", 2)
        yield f"{'':13}vhost-inflight replay {run['file']}"  # to be copied, so never wrapped
    if answer["page"]:
        yield from _lines("more", f"{answer['page']}, {answer['id']}", 2)
    if answer["correction"]:
        yield from _lines("proposed", f"of the message's description: {answer['correction']}", 2)
    for said in answer["proposed"]:
        place = said["place"] or "behind the lists"
        yield from _lines("proposed", f"{said['ring']} ring, {place}: {said['sentence']}", 2)
    if answer["changes"]:
        yield ""
        yield f"hardened without {answer['edit']} -> hardened"
        yield from _changes(answer["changes"])


def _edit(answer: Answer) -> Iterator[str]:
    yield f"{answer['id']}: an edit of the {answer['ring']} ring's table, one of those that make hardened of merged"
    yield from _lines("mends", f"{_list(answer['errata'])}: {answer['reason']}", 2)
    yield ""
    yield "hardened without it -> hardened"
    yield from _changes(answer["changes"])


def _profile(answer: Answer) -> Iterator[str]:
    yield f"{answer['id']}: what a back-end of others does on the {answer['ring']} ring, as read in its source"
    for label, value in explain_profiles.text(answer):
        yield from _lines(label, value, 2)
    yield ""
    yield f"{answer['base']} -> {answer['id']}"
    yield from _changes(answer["changes"]) if answer["changes"] else ["no difference"]


def _steps(answer: Answer) -> Iterator[str]:
    yield f"{answer['id']}: steps of the {answer['ring']} ring whose id begins so"
    yield from _listed_steps(answer["steps"])


def _index(answer: Answer) -> Iterator[str]:
    yield f"steps of the {answer['ring']} ring"
    yield from _listed_steps(answer["steps"])
    yield f"gaps of the {answer['ring']} ring"
    yield from _named(answer["gaps"])
    if answer["readings"]:
        yield f"open in no revision of the {answer['ring']} ring's text, and judged (verify --readings)"
        yield from _named(answer["readings"])
    yield f"what came later, judged of hardened, on the {answer['ring']} ring (docs/stopping.md)"
    yield from _named(answer["later"])


def _names(answer: Answer) -> Iterator[str]:
    titles = {
        "errata": "errata of the text",
        "since": "errata of what came around it",
        "edits": "edits that make hardened",
        "profiles": "what back-ends of others do",
    }
    for kind in ("properties", "revisions", "errata", "since", "edits", "profiles"):
        yield titles.get(kind, kind)
        yield from _named(answer[kind])


def _listed_steps(steps: list[Answer]) -> Iterator[str]:
    procedure = None
    for step in steps:
        if step["procedure"] != procedure:
            procedure = step["procedure"]
            yield f"  {procedure}"
        yield f"    {step['id']:<30}{_short(step['sentence'])}"


def _named(sentences: dict[str, str]) -> Iterator[str]:
    yield from (f"    {name:<30}{_short(sentence)}" for name, sentence in sentences.items())


def _short(sentence: str) -> str:
    room = _WIDTH - 34
    return sentence if len(sentence) <= room else sentence[: room - 4].rstrip() + " ..."


def _list(names: list[str]) -> str:
    return ", ".join(names)
