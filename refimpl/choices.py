"""Choices: which revision of the text is followed on which ring, and what is done where the text leaves something open.

What the text leaves open is a gap; each has a name and named choices, the default first. docs/architecture.md lists
them, ``vhost-inflight explain`` says what each means.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Self

from refimpl.errors import UsageError
from refimpl.names import no_such

RINGS: Final = ("split", "packed")
"""The two kinds of ring."""

REVISIONS: Final = ("v6", "merged", "hardened")
"""The revisions of the text that the reference follows, each on both rings."""

PROVED: Final[Mapping[str, str]] = MappingProxyType({"split": "merged", "packed": "hardened"})
"""By ring, the revision that is followed where none is named: the oldest one of which every property is proved. On the
packed ring that is hardened alone: v6 and merged resubmit requests that the driver has as used (docs/errata.md)."""

ALIKE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"split": frozenset({"merged", "hardened"}), "packed": frozenset()}
)
"""By ring, revisions that have the same steps: what hardened mends is on the packed ring alone."""

_COUNTERS: Final = {
    "counter-start": ("zero", "one"),
    "counter-after-reconnect": ("after-greatest", "zero", "count"),
    "counter-scope": ("queue", "device-greatest", "device-last"),
}
_COMMON: Final = {
    "fetch-in-batch": ("never", "until-publish", "always"),
    "resubmit-order": ("table-order", "any"),
    "ring-at-start": ("look", "wait"),
    "signal-at-start": ("always", "on-mismatch", "never"),
    "signal-when": ("after-commit", "after-publish"),
    "event-fields": ("rewritten", "left"),
    "recovery-start": ("once", "every-kick"),
    "reset": ("renewed", "kept", "kept-alive"),
}

GAPS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "init-order": ("version-last", "version-first", "before-hand-over"),
        "fresh-used-idx": ("from-ring", "zero", "zero-and-skip"),
        **_COUNTERS,
        "fetch-position": ("used-plus-inflight", "used-idx", "avail-idx"),
        "used-element": ("in-loop", "before-publish", "after-publish"),
        "batch-size": ("mod-65536", "mod-queue-size", "signed"),
        **_COMMON,
        "region-size": ("equal", "larger", "smaller"),
    },
)
"""Every gap of the split ring with its choices, the default first."""

PACKED_GAPS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "init-order": ("version-last", "version-first", "before-hand-over"),
        "free-list": ("linked", "zeroed"),
        "first-wrap": ("one", "zero"),
        "fresh-used-idx": ("from-base", "zero"),
        **_COUNTERS,
        "fetch-position": ("used-plus-inflight", "used-position", "base"),
        "flags-order": ("first-last", "in-order"),
        "used-element": ("in-loop", "with-flags"),
        "used-slot": ("next", "own"),
        "batch-size": ("descriptors", "requests"),
        "flags-compare": ("both", "used", "avail", "whole"),
        "assignments": ("several", "one"),
        **_COMMON,
        "region-size": ("equal", "larger", "smaller"),
        "event-kind": ("flags", "index"),
        "settle": ("plain", "wide"),
    },
)
"""Every gap of the packed ring with its choices, the default first."""

GAPS_OF: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType({"split": GAPS, "packed": PACKED_GAPS})
"""The gaps of each ring."""

ONLY_IN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "counter-start": "merged",
        "counter-after-reconnect": "merged",
        "counter-scope": "merged",
        "resubmit-order": "v6",
        "settle": "hardened",
    },
)
"""Gaps that one revision alone leaves open: v6 has no counter, merged says in which order to resubmit, and hardened
alone has a step of which there are two forms."""


_INSTEAD: Final = {
    ("region-size", "smaller"): "; what is proved is an entry for each slot of the ring (QEMU: queue-size=1024)",
}
"""What to do instead of a choice that some front-end seems to need."""


def open_in(gap: str) -> tuple[str, ...]:
    """Return the revisions that leave ``gap`` open: hardened closes all but its own, and what is the driver's."""
    if gap == "event-kind":
        return REVISIONS
    return (ONLY_IN[gap],) if gap in ONLY_IN else ("v6", "merged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """A revision, a ring, and one choice for each gap of the ring.

    A revision left empty becomes the one that is proved for the ring (PROVED). The attribute of a gap is its name with
    ``_`` for ``-``. Left empty it becomes the default of the ring; of a gap that the ring does not have it stays empty.

    Raises UsageError for a revision, a ring or a choice that does not exist, for a choice in a gap that the ring does
    not have, and for a choice other than the default in a gap that the revision does not leave open.
    """

    revision: str = ""
    ring: str = "split"
    init_order: str = ""
    fresh_used_idx: str = ""
    free_list: str = ""
    first_wrap: str = ""
    counter_start: str = ""
    counter_after_reconnect: str = ""
    counter_scope: str = ""
    fetch_position: str = ""
    used_element: str = ""
    used_slot: str = ""
    batch_size: str = ""
    flags_order: str = ""
    flags_compare: str = ""
    assignments: str = ""
    fetch_in_batch: str = ""
    resubmit_order: str = ""
    ring_at_start: str = ""
    signal_at_start: str = ""
    signal_when: str = ""
    event_fields: str = ""
    event_kind: str = ""
    recovery_start: str = ""
    reset: str = ""
    region_size: str = ""
    settle: str = ""

    def __post_init__(self) -> None:
        """Check the revision, the ring and each choice; fill in the defaults."""
        if self.ring not in RINGS:
            raise UsageError(no_such("ring", self.ring, RINGS))
        if not self.revision:
            object.__setattr__(self, "revision", PROVED[self.ring])  # a frozen dataclass has no other way
        if self.revision not in REVISIONS:
            raise UsageError(no_such("revision", self.revision, REVISIONS))
        for gap in {**GAPS, **PACKED_GAPS}:
            self._settle_gap(gap, _field(gap))

    def _settle_gap(self, gap: str, field: str) -> None:
        """Check the choice in one gap, and fill in its default."""
        choice: str = getattr(self, field)
        allowed = GAPS_OF[self.ring].get(gap)
        if not choice:
            object.__setattr__(self, field, allowed[0] if allowed else "")
        elif allowed is None:
            raise UsageError(f"the {self.ring} ring has no gap {gap}")
        elif choice not in allowed:
            raise UsageError(f"gap {gap} has no choice {choice!r}; its choices are {', '.join(allowed)}")
        elif choice != allowed[0] and self.revision not in open_in(gap):
            where = " and ".join(open_in(gap))
            default = ", the default of this ring" if self.revision == PROVED[self.ring] else ""
            instead = _INSTEAD.get((gap, choice), "")
            raise UsageError(f"gap {gap} is open in revision {where} only, not in {self.revision}{default}{instead}")

    @classmethod
    def from_mapping(cls, gaps: Mapping[str, str], revision: str = "", ring: str = "split") -> Self:
        """Return the choices that ``gaps`` names ({gap: choice}), and the default of each other gap of ``ring``.

        Without a revision it is that of PROVED.

        Raises UsageError for a gap that the ring does not have, and as the class does.
        """
        return cls._made(tuple(gaps.items()), revision, ring)

    @classmethod
    @lru_cache(maxsize=256)
    def _made(cls, gaps: tuple[tuple[str, str], ...], revision: str, ring: str) -> Self:
        """Return what `from_mapping` does; the same choices are made again and again, and never change."""
        if ring not in RINGS:
            raise UsageError(no_such("ring", ring, RINGS))
        for gap, choice in gaps:
            if gap not in GAPS_OF[ring]:
                owners = [other for other in RINGS if gap in GAPS_OF[other]]
                if owners:
                    raise UsageError(f"gap {gap} is one of the {owners[0]} ring, not of the {ring} ring")
                raise UsageError(no_such("gap", gap, GAPS_OF[ring]))
            if not choice:
                allowed = ", ".join(GAPS_OF[ring][gap])
                raise UsageError(f"gap {gap} has no choice {choice!r}; its choices are {allowed}")
        return cls(revision=revision, ring=ring, **{_field(gap): choice for gap, choice in gaps})

    @property
    def counted(self) -> bool:
        """Whether the revision has a global counter, which says in which order to resubmit."""
        return self.revision != "v6"

    def of(self, gap: str) -> str:
        """Return the choice made in ``gap``. Raises UsageError for a gap that the ring does not have."""
        gaps = GAPS_OF[self.ring]
        if gap not in gaps:
            raise UsageError(no_such("gap", gap, gaps))
        choice: str = getattr(self, _field(gap))
        return choice

    def to_mapping(self) -> dict[str, str]:
        """Return {gap: choice} for every gap of the ring."""
        return {gap: self.of(gap) for gap in GAPS_OF[self.ring]}

    def changed(self) -> dict[str, str]:
        """Return {gap: choice} for the gaps whose choice is not the default."""
        return dict(self._changed())

    @lru_cache(maxsize=256)  # noqa: B019
    def _changed(self) -> dict[str, str]:
        return {gap: choice for gap, choice in self.to_mapping().items() if choice != GAPS_OF[self.ring][gap][0]}


def of_each_ring(gaps: Mapping[str, str], revision: str, *, packed: bool) -> dict[str, Choices]:
    """Return the choices for each ring that a device serves: split ones always, since firmware uses them, and packed.

    Without a revision it is for each ring the one that is proved for it.

    The name of a gap may begin with that of a ring, ``split.region-size``: then the choice is for that ring alone.
    Without one it is for packed rings, if they are served, and for split ones as far as they have such a choice. Raises
    UsageError as Choices does, and for a ring that is not served.
    """
    rings = ("packed", "split") if packed else ("split",)
    given: dict[str, dict[str, str]] = {ring: {} for ring in rings}
    for name, choice in sorted(gaps.items(), key=lambda pair: "." in pair[0]):  # what names its ring wins
        ring, dot, gap = name.rpartition(".")
        if dot and ring not in rings:
            offered = " and ".join(rings)
            raise UsageError(f"gap {name}: {ring!r} is no ring that is served; {offered} {'are' if packed else 'is'}")
        for each in [ring] if dot else rings:
            if dot or each == rings[0] or choice in GAPS_OF[each].get(gap, ()):
                given[each][gap] = choice
    return {ring: Choices.from_mapping(chosen, revision, ring) for ring, chosen in given.items()}


def parse_gaps(pairs: Iterable[str]) -> dict[str, str]:
    """Return {gap: choice} of texts ``NAME=CHOICE``; whether there is such a gap is for Choices to say.

    Raises UsageError for a text of another form, and for a gap that is named twice with two choices.
    """
    gaps: dict[str, str] = {}
    for pair in pairs:
        name, equals, choice = pair.partition("=")
        if not equals or not name or not choice:
            raise UsageError(f"--gap wants NAME=CHOICE, not {pair!r}")
        if gaps.setdefault(name, choice) != choice:
            raise UsageError(f"--gap {name} is given twice: {gaps[name]} and {choice}")
    return gaps


def _field(gap: str) -> str:
    """Return the name of a gap's attribute."""
    return gap.replace("-", "_")
