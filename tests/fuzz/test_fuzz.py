"""Any bytes: an error names the culprit, nothing else happens, and nothing is held afterwards."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tools.fuzz import Runner, held

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*/*"))
"""Cases that went wrong once."""


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name: str) -> None:
    """Whatever a case says, it is done with; file descriptors are as many as before."""
    target = TARGETS[name]
    runner = Runner(name, target)

    @settings(max_examples=250, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=400))
    def any_bytes(data: bytes) -> None:
        assert target(data) >= 1

    any_bytes()
    assert held()[0] == runner.before[0]


@pytest.mark.parametrize("case", CORPUS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_found_before(case: Path) -> None:
    """What a fuzzer found stays mended."""
    assert TARGETS[case.parent.name](case.read_bytes()) >= 1


def test_a_wrong_case_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A case with which anything but an error with a culprit comes is written down, and ends the run."""
    monkeypatch.setattr("tools.fuzz.CORPUS", tmp_path)

    def target(data: bytes) -> int:
        if data == b"wrong":
            raise ZeroDivisionError
        return 1

    runner = Runner("region", target)
    runner.run(b"right")
    with pytest.raises(ZeroDivisionError):
        runner.run(b"wrong")
    assert [path.read_bytes() for path in (tmp_path / "region").iterdir()] == [b"wrong"]
    assert runner.report("random").startswith("region, random: 1 cases, 1 regions in 0 seconds")
