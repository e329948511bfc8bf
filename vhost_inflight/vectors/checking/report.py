"""What came of the vectors: in words, as JSON (report.schema.json), and as JUnit's XML."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final
from xml.etree import ElementTree as ET

from vhost_inflight.vectors.checking.asking import Checked
from vhost_inflight.vectors.checking.compare import VERDICTS, Verdict

__all__ = ["FORMAT", "as_json", "as_junit", "bad_lines", "lines"]

FORMAT: Final = "vhost-inflight check 1"
"""What a report says that it is."""

_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def see(verdict: Verdict) -> str:
    """Give the command that shows what is right."""
    return f"vhost-inflight recover --explain {verdict.vector.id}"


def bad_lines(verdict: Verdict) -> Iterator[str]:
    """Tell one verdict that counts against the program."""
    vector = verdict.vector
    yield f"{verdict.word}: {vector.id}"
    yield f"  rule: {verdict.rule}"
    yield from (f"  {line}" for line in verdict.differs)
    if verdict.fault:
        yield f"  whose fault: {verdict.fault}"
    yield f"  it catches: {vector.note}"
    yield f"  it {vector.severity} in a guest; see it: {see(verdict)}"


def lines(checked: Checked) -> Iterator[str]:
    """Give the summary: by ring and section a line, then all together."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for verdict in checked.verdicts:
        place = verdict.vector.ring, verdict.vector.section
        counts.setdefault(place, Counter())[verdict.word] += 1
    width = max((len(f"{ring} {section}") for ring, section in counts), default=0)
    yield f"{'section'.ljust(width)}  {'  '.join(VERDICTS)}"
    for (ring, section), words in sorted(counts.items()):
        row = "  ".join(str(words[word] or "-").rjust(len(word)) for word in VERDICTS)
        yield f"{f'{ring} {section}'.ljust(width)}  {row}"
    noted = [verdict for verdict in checked.verdicts if verdict.note]
    if noted:
        yield f"{len(noted)} refused what they should, and blamed another, as {noted[0].vector.id}: {noted[0].note}"
    if checked.ending:
        yield f"at the end: {checked.ending}"
    total = ", ".join(f"{checked.count(word)} {word}" for word in VERDICTS if checked.count(word))
    yield f"{checked.ready.name}: {len(checked.verdicts)} vectors: {total or 'none'}"


def as_json(checked: Checked, command: Sequence[str], form: str) -> dict[str, Any]:
    """Give the report as JSON."""
    return {
        "format": FORMAT,
        "command": list(command),
        "form": form,
        "adapter": checked.ready.name,
        "counts": {word: checked.count(word) for word in VERDICTS},
        "ending": checked.ending,
        "cases": [_case(*both) for both in zip(checked.verdicts, checked.seconds, strict=True)],
    }


def _case(verdict: Verdict, seconds: float) -> dict[str, Any]:
    vector = verdict.vector
    return {
        "id": vector.id, "ring": vector.ring, "kind": vector.kind, "section": vector.section, "verdict": verdict.word,
        "rule": verdict.rule, "differs": list(verdict.differs), "fault": verdict.fault, "note": verdict.note,
        "severity": vector.severity, "explain": see(verdict), "seconds": round(seconds, 6),
    }  # fmt: skip


def as_junit(checked: Checked) -> str:
    """Give the report as JUnit's XML: a suite for each ring and section, and one for how the adapter ended."""
    suites: dict[str, ET.Element] = {}
    root = ET.Element("testsuites", name=f"vhost-inflight check-vectors: {_clean(checked.ready.name)}")
    for verdict, seconds in zip(checked.verdicts, checked.seconds, strict=True):
        vector = verdict.vector
        name = f"{vector.ring} {vector.section}"
        suite = suites.get(name)
        if suite is None:
            suite = suites[name] = ET.SubElement(root, "testsuite", name=name)
        case = ET.SubElement(suite, "testcase", classname=name, name=vector.id, time=f"{seconds:.6f}")
        if verdict.bad:
            told = _clean("\n".join(bad_lines(verdict)))
            first = _clean(verdict.differs[0] if verdict.differs else verdict.word)
            ET.SubElement(case, "failure", type=verdict.word, message=first).text = told
        elif verdict.word == "unsupported":
            ET.SubElement(case, "skipped", message=_clean(verdict.differs[0]))
    if checked.ending:
        suite = suites["the end"] = ET.SubElement(root, "testsuite", name="the end")
        case = ET.SubElement(suite, "testcase", classname="the end", name="stop", time="0")
        ET.SubElement(case, "failure", type="wedged", message=_clean(checked.ending))
    for element in (*suites.values(), root):
        for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
            element.set(attribute, str(len(element.findall(f".//{tag}"))))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _clean(said: str) -> str:
    """Leave out what XML has no way to write."""
    return _NO_XML.sub("?", said)


def shipped_schema() -> dict[str, Any]:
    """Give the JSON Schema of the report."""
    from importlib.resources import files  # noqa: PLC0415  # nobody needs it to write a report

    text = files("vhost_inflight.vectors.checking").joinpath("report.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document
