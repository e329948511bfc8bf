"""`vhost-inflight mend`: what it is asked, and what it answers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vhost_inflight import cli

CHAPTER = Path(__file__).parent / "chapter.rst"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([str(CHAPTER)], 0, "31 mends, one diff each"),
        ([str(CHAPTER), "--only", "whole-ring", "--only", "reset"], 0, "2 mends, one diff each"),
        ([str(CHAPTER), "--only", "reset"], 0, ": 1 mend, one diff vhost-inflight: words"),
        ([str(CHAPTER), "--only", "whole"], 2, "there is no mend 'whole'; perhaps: whole-ring"),
        ([str(CHAPTER), "--only", "no-order"], 2, "the published text has the mend of no-order"),
        (["nowhere.rst"], 2, "nowhere.rst: No such file or directory"),
        ([str(CHAPTER.parent)], 2, "Is a directory"),
        ([__file__], 2, "looked for a chapter on inflight tracking"),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    """0 with a patch; 2 with a line that says what is wrong, and nothing printed."""
    monkeypatch.setattr(sys, "argv", ["vhost-inflight", "mend", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    assert (int(ended.value.code or 0), bool(captured.out)) == (code, code == 0)
    assert said in " ".join(captured.err.replace("│", " ").split())
