"""The report as one HTML file, with a picture of each failure: what was stored, where it died, what came then."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from vhost_inflight.conformance.judge import RULES, SECTIONS
from vhost_inflight.conformance.report import CANNOT, HOW, Report, lines, where
from vhost_inflight.conformance.trying import Verdict

__all__ = ["as_html"]

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; } td, th { border-bottom: 1px solid #ddd; padding: .2rem .5rem;
text-align: left; vertical-align: top; } code, pre { font-size: 13px; }
.fail, .reject, .wedged { color: #b00020; } .pass { color: #1b7a2f; } .skip { color: #777; }
ol.life { border-left: 3px solid #888; list-style: none; margin: .5rem 0; padding-left: 1rem; }
ol.life li.kill { color: #b00020; font-weight: bold; }
ol.life li.wrong { color: #b00020; }
ol.life li.no { color: #999; text-decoration: line-through; } summary { cursor: pointer; }
"""
_SHOWN: Final = 10


def as_html(report: Report) -> str:
    """Give the report as HTML."""
    body = [
        f"<h1>Killed at each store</h1><p><code>{escape(report.command)}</code></p>",
        "<pre>" + escape("\n".join(line for line in lines(report))) + "</pre>",
        "<h2>Failures</h2>" if report.bad else "<h2>No failure</h2>",
        *(_failure(report, verdict) for verdict in report.bad),
        "<h2>All cases</h2><table><tr><th>case<th>verdict<th>severity<th>killed<th>by<th>rule</tr>",
        *(_row(report, verdict) for verdict in report.verdicts),
        "</table><h2>What it cannot do</h2><ul>",
        *(f"<li>{escape(text)}</li>" for text in CANNOT),
        "</ul>",
    ]
    head = f'<meta charset="utf-8"><title>Killed at each store</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"


def _row(report: Report, verdict: Verdict) -> str:
    deaths = zip(verdict.points, verdict.case.deaths, strict=False)
    killed = "<br>".join(escape(HOW[end].format(point)) for point, (_, end) in deaths)
    by = "<br>".join(escape(where(report, point)) for point in verdict.points)
    rules = "<br>".join(
        escape(f"{name}: {SECTIONS[name]}") for name in dict.fromkeys(b.property for b in verdict.broken)
    )
    cells = (escape(str(verdict.case)), verdict.word, verdict.severity, f"<code>{killed}</code>", by, rules)
    return f'<tr class="{verdict.word}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _failure(report: Report, verdict: Verdict) -> str:
    """Give the picture of one failure: each life as a line of stores, cut where it died."""
    title = f"{verdict.case}: {verdict.word}{f', {verdict.severity} in a guest' if verdict.severity else ''}"
    return (
        f'<details><summary class="{verdict.word}">{escape(title)}</summary>'
        + "".join(_lives(report, verdict))
        + f"<p>Again: <code>{escape(report.again(verdict))}</code></p></details>"
    )


def _lives(report: Report, verdict: Verdict) -> Iterator[str]:
    for number, (point, (_, end)) in enumerate(zip(verdict.points, verdict.case.deaths, strict=False)):
        life = verdict.lives[number] if number < len(verdict.lives) else ()
        before = life[max(0, point.number - 1 - _SHOWN) : point.number - 1]
        yield f"<p>Life {number + 1}, its stores up to its death:</p><ol class=life>"
        if point.number - 1 > _SHOWN:
            yield f"<li>{point.number - 1 - _SHOWN} stores before these</li>"
        yield from (f"<li>{each.number}. <code>{escape(str(each))}</code></li>" for each in before)
        told = f"{point.number}. <code>{escape(str(point))}</code>, by {escape(where(report, point))}"
        yield (
            f"<li>{told}</li><li class=kill>SIGKILL</li>"
            if end != "before"
            else f"<li class=kill>SIGKILL</li><li class=no>{told}</li>"
        )
        yield "</ol>"
    yield "<p>Then:</p><ol class=life>"
    for one in verdict.broken:
        told = f"{one.property} ({one.seen_by}): {one.text}"
        yield f"<li class=wrong>{escape(told)}<br>{escape(RULES[one.property])}</li>"
    yield "</ol>"
