"""The report as one HTML file, with a picture of each failure: what was stored, where it died, what came then."""

from __future__ import annotations

from html import escape
from typing import Final

from vhost_inflight.conformance.judge import SECTIONS
from vhost_inflight.conformance.lives import as_case, title
from vhost_inflight.conformance.picture import picture
from vhost_inflight.conformance.report import CANNOT, HOW, Report, case_lines, lines, where
from vhost_inflight.conformance.trying import Verdict
from vhost_inflight.telling import printable

__all__ = ["SHOWN", "as_html"]

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; } td, th { border-bottom: 1px solid #ddd; padding: .2rem .5rem;
text-align: left; vertical-align: top; } code, pre { font-size: 13px; }
.fail, .reject, .wedged { color: #b00020; } .pass { color: #1b7a2f; } .skip { color: #777; }
summary { cursor: pointer; } details { overflow-x: auto; }
"""

SHOWN: Final = 30
"""Failures that have a picture, the shortest: each costs a life more."""


def as_html(report: Report) -> str:
    """Give the report as HTML."""
    body = [
        f"<h1>Killed at each store</h1><p><code>{_shown(report.command)}</code></p>",
        "<pre>" + "\n".join(map(_shown, lines(report))) + "</pre>",
        "<h2>Failures</h2>" if report.bad else "<h2>No failure</h2>",
        *_left_out(len(report.bad)),
        *(_failure(report, verdict, drawn=number < SHOWN) for number, verdict in enumerate(report.bad)),
        "<h2>All cases</h2><table><tr><th>case<th>verdict<th>severity<th>killed<th>by<th>rule</tr>",
        *(_row(report, verdict) for verdict in report.verdicts),
        "</table><h2>What it cannot do</h2><ul>",
        *(f"<li>{_shown(text)}</li>" for text in CANNOT),
        "</ul>",
    ]
    head = f'<meta charset="utf-8"><title>Killed at each store</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"


def _shown(said: str) -> str:
    """Write what anybody said, so that neither a browser nor who copies it obeys."""
    return escape(printable(said))


def _left_out(failures: int) -> list[str]:
    """Say how many failures have no picture, where some have none."""
    if failures <= SHOWN:
        return []
    return [
        f"<p>The {SHOWN} shortest of {failures} have a picture; of {failures - SHOWN} more words say what came.</p>"
    ]


def _row(report: Report, verdict: Verdict) -> str:
    deaths = zip(verdict.points, verdict.case.deaths, strict=False)
    killed = "<br>".join(_shown(HOW[end].format(point)) for point, (_, end) in deaths)
    by = "<br>".join(_shown(where(report, point)) for point in verdict.points)
    rules = "<br>".join(
        _shown(f"{name}: {SECTIONS[name]}") for name in dict.fromkeys(b.property for b in verdict.broken)
    )
    cells = (_shown(str(verdict.case)), verdict.word, verdict.severity, f"<code>{killed}</code>", by, rules)
    return f'<tr class="{verdict.word}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _failure(report: Report, verdict: Verdict, *, drawn: bool) -> str:
    """Give one failure: its picture, or where there are many, what is said of it elsewhere."""
    shown = (
        picture(as_case(report, verdict))
        if drawn
        else f"<pre>{chr(10).join(map(_shown, case_lines(report, verdict)))}</pre>"
    )
    return (
        f'<details><summary class="{verdict.word}">{_shown(title(as_case(report, verdict)))}</summary>{shown}'
        f"<p>Again: <code>{_shown(report.again(verdict))}</code></p></details>"
    )
