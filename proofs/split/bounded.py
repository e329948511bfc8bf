"""Why a property of a choice is bounded: what stands in the way of a proof, and of a run. docs/gaps.md prints it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = ["BOUNDED"]

_WALK = (
    "which fields a recovery clears is a walk along links that need be no batch's list any more, and the proof has no "
    "words for what such a walk meets. Clearing changes no link, so a second walk is expected to meet the same"
)

_ROUND = (
    "after that requests are served twice, used.idx runs ahead of what was fetched, and no rank is known to fall; "
    "some hundred random runs of up to five requests and two crashes found nothing either"
)

_LOST: Mapping[tuple[str, str], str] = {
    ("fetch-position", "used-idx"): "what is in flight is fetched again",
    ("batch-size", "mod-queue-size"): "a batch of the whole ring is not cleared",
    ("batch-size", "signed"): "a batch over which used.idx wraps is not cleared",
    ("fetch-in-batch", "always"): "recovery clears the mark of a request that came to a head of the open batch",
    ("region-size", "smaller"): "a request past the region's end is forgotten, and fetching goes on too early",
}

_RUN = (("fetch-position", "used-idx"), ("batch-size", "signed"), ("region-size", "smaller"))
"""Where a run shows that requests are not given back."""


def _reasons() -> Iterator[tuple[tuple[str, str, str], str]]:
    for gap, choice in (*_LOST, ("used-element", "after-publish"), ("reset", "kept"), ("reset", "kept-alive")):
        yield (gap, choice, "restartable"), _WALK
    for (gap, choice), what in _LOST.items():
        if (gap, choice) not in _RUN:
            yield (gap, choice, "drains"), f"{what}: {_ROUND}"
    for choice in ("mod-queue-size", "signed"):
        yield (
            ("batch-size", choice, "order"),
            (
                "requests that are used already are given to the device again, by counters that were theirs: no "
                "sentence says how these stand to those of requests that came since"
            ),
        )
    for gap, choice in (("fetch-in-batch", "always"), ("region-size", "smaller")):
        yield (
            (gap, choice, "ring-position"),
            (
                f"{_LOST[gap, choice]}, so what is marked is not what is outstanding: only their numbers may still "
                "agree, and no sentence says that they do"
            ),
        )


BOUNDED: Mapping[tuple[str, str, str], str] = dict(_reasons())
"""By gap, choice and property; the same in each revision that has the row."""
