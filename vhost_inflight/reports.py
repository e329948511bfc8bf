"""What reports of tests share: JUnit's XML from suites and cases, and the schema of a report as JSON."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any, Final
from xml.etree import ElementTree as ET

__all__ = ["Suites", "clean", "failed", "shipped_schema", "skipped"]

_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Suites:
    """The XML of a run: suites by their names, in the order in which they are asked for."""

    def __init__(self, name: str) -> None:
        """Begin with none."""
        self._root = ET.Element("testsuites", name=clean(name))
        self._suites: dict[str, ET.Element] = {}

    def case(self, suite: str, name: str, seconds: float = 0.0) -> ET.Element:
        """Add a case to a suite, which is made where it is not there; it took so many ``seconds``."""
        if suite not in self._suites:
            self._suites[suite] = ET.SubElement(self._root, "testsuite", name=clean(suite))
        told = {"classname": clean(suite), "name": clean(name), "time": f"{seconds:.6f}"}
        return ET.SubElement(self._suites[suite], "testcase", told)

    def text(self) -> str:
        """Write it, with the numbers of cases that each suite, and the run, has of each kind."""
        for element in (*self._suites.values(), self._root):
            for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
                element.set(attribute, str(len(element.findall(f".//{tag}"))))
        ET.indent(self._root)
        return ET.tostring(self._root, encoding="unicode", xml_declaration=True) + "\n"


def failed(case: ET.Element, word: str, first: str, told: str) -> None:
    """Say of a case that it failed: the kind of failure in a word, what comes first, and all there is to say."""
    ET.SubElement(case, "failure", type=word, message=clean(first)).text = clean(told)


def skipped(case: ET.Element, why: str) -> None:
    """Say of a case that it was not tried."""
    ET.SubElement(case, "skipped", message=clean(why))


def clean(said: str) -> str:
    """Leave out what XML has no way to write."""
    return _NO_XML.sub("?", said)


def shipped_schema(package: str, name: str = "report") -> dict[str, Any]:
    """Give the JSON Schema of the report that a package makes, or of another document of it."""
    text = files(package).joinpath(f"{name}.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document
