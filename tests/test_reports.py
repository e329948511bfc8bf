"""What reports share: XML that can be read whatever was said, and counts of it."""

from xml.etree import ElementTree as ET

from vhost_inflight.reports import Suites, failed, skipped


def test_anything_that_was_said_can_be_read_again() -> None:
    """Characters that XML cannot have are replaced, wherever they come from; the rest is as it was."""
    suites = Suites("a run \x00")
    failed(suites.case("one \x1b", "first", 0.25), "fail", "it said \ufffe <&", "line 1\nline 2 \x08")
    skipped(suites.case("one \x1b", "second"), "no \udc80")
    suites.case("other", "third")
    root = ET.fromstring(suites.text())  # noqa: S314  # our own
    assert root.get("name") == "a run ?"
    failure, skip = root.find(".//failure"), root.find(".//skipped")
    assert failure is not None
    assert skip is not None
    assert (failure.get("message"), failure.text) == ("it said ? <&", "line 1\nline 2 ?")
    assert skip.get("message") == "no ?"


def test_each_kind_is_counted_in_each_suite_and_in_all() -> None:
    """A suite is there once, in the order of its first case."""
    suites = Suites("a run")
    for suite, name in (("b", "1"), ("a", "2"), ("b", "3")):
        failed(suites.case(suite, name, 0.5), "fail", "", "")
    skipped(suites.case("a", "4"), "")
    root = ET.fromstring(suites.text())  # noqa: S314  # our own
    counts = [[each.get(key) for key in ("name", "tests", "failures", "skipped")] for each in (root, *root)]
    assert counts == [["a run", "4", "3", "1"], ["b", "2", "2", "0"], ["a", "2", "1", "1"]]
    assert [case.get("time") for case in root.iter("testcase")] == ["0.500000", "0.500000", "0.500000", "0.000000"]
