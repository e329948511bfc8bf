"""Every step has a test of the reference that is about it, and that fails where the step is not reached."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from refimpl.hooks import silent
from refimpl.split.driver import SplitDriver
from tests.marks import STEPS, named, recorded
from tests.refimpl.rig import Rig

HERE = Path(__file__).parent


def marked() -> Iterator[str]:
    """Give the names that stand in the marks of the reference's tests."""
    for path in HERE.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.reaches":
                yield from (ast.literal_eval(argument) for argument in node.args)


def test_every_step_has_a_test() -> None:
    """Each of both rings, those of gaps' alternatives too; that they are the model's is tests/meet/test_names.py's."""
    assert sorted(STEPS - named(marked())) == []


def test_names() -> None:
    """A step's id, or a pattern; one that fits nothing is a mistake."""
    assert named(["split.init.*", "driver.reset"]) == {f"split.init.{n}" for n in (1, 2, 3)} | {"driver.reset"}
    with pytest.raises(LookupError, match="there is no step split"):
        named(["split.suply.1"])


def test_recorded() -> None:
    """What queues and drivers report is noted, before whatever is hooked in; not what was made before, or after."""
    before = Rig()
    with recorded() as steps:
        before.queue().start()
        assert "split.start.fresh" in steps  # the queue was made here
        before.driver.reset()
        assert "driver.reset" not in steps
        SplitDriver(before.ring, silent).reset()
        assert "driver.reset" in steps
    steps.clear()
    before.queue().start()
    assert steps == set()
