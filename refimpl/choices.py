"""Choices: which revision of the text is followed, and what is done where the text leaves something open.

What the text leaves open is a gap; each has a name and named choices, the default first. docs/architecture.md lists
them, ``vhost-inflight explain`` says what each means.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

from refimpl.errors import UsageError

REVISIONS: Final = ("v6", "merged")
"""The revisions of the text that the reference follows."""

GAPS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "init-order": ("version-last", "version-first", "before-hand-over"),
        "fresh-used-idx": ("from-ring", "zero", "zero-and-skip"),
        "counter-start": ("zero", "one"),
        "counter-after-reconnect": ("after-greatest", "zero", "count"),
        "counter-scope": ("queue", "device-greatest", "device-last"),
        "fetch-position": ("used-plus-inflight", "used-idx", "avail-idx"),
        "used-element": ("in-loop", "before-publish", "after-publish"),
        "batch-size": ("mod-65536", "mod-queue-size", "signed"),
        "fetch-in-batch": ("never", "until-publish", "always"),
        "resubmit-order": ("table-order", "any"),
        "ring-at-start": ("look", "wait"),
        "signal-at-start": ("always", "on-mismatch", "never"),
        "signal-when": ("after-commit", "after-publish"),
        "event-fields": ("rewritten", "left"),
        "recovery-start": ("once", "every-kick"),
        "reset": ("renewed", "kept"),
        "region-size": ("equal", "larger", "smaller"),
    },
)
"""Every gap of the split ring with its choices, the default first."""

ONLY_IN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "counter-start": "merged",
        "counter-after-reconnect": "merged",
        "counter-scope": "merged",
        "resubmit-order": "v6",
    },
)
"""Gaps that one revision alone leaves open: v6 has no counter, and merged says in which order to resubmit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """A revision, and one choice for each gap; the attribute is the gap's name with ``_`` for ``-``.

    Raises UsageError for a revision or a choice that does not exist, and for a choice other than the default in a gap
    that the revision does not leave open.
    """

    revision: str = "merged"
    init_order: str = "version-last"
    fresh_used_idx: str = "from-ring"
    counter_start: str = "zero"
    counter_after_reconnect: str = "after-greatest"
    counter_scope: str = "queue"
    fetch_position: str = "used-plus-inflight"
    used_element: str = "in-loop"
    batch_size: str = "mod-65536"
    fetch_in_batch: str = "never"
    resubmit_order: str = "table-order"
    ring_at_start: str = "look"
    signal_at_start: str = "always"
    signal_when: str = "after-commit"
    event_fields: str = "rewritten"
    recovery_start: str = "once"
    reset: str = "renewed"
    region_size: str = "equal"

    def __post_init__(self) -> None:
        """Check the revision and each choice."""
        if self.revision not in REVISIONS:
            raise UsageError(f"there is no revision {self.revision!r}; the revisions are {', '.join(REVISIONS)}")
        for gap, allowed in GAPS.items():
            choice = self.of(gap)
            if choice not in allowed:
                raise UsageError(f"gap {gap} has no choice {choice!r}; its choices are {', '.join(allowed)}")
            if choice != allowed[0] and ONLY_IN.get(gap, self.revision) != self.revision:
                raise UsageError(f"gap {gap} is open in revision {ONLY_IN[gap]} only, not in {self.revision}")

    @classmethod
    def from_mapping(cls, gaps: Mapping[str, str], revision: str = "merged") -> Self:
        """Return the choices that ``gaps`` names ({gap: choice}), and the default of each other gap.

        Raises UsageError for a gap that does not exist, and as the class does.
        """
        for gap in gaps:
            if gap not in GAPS:
                raise UsageError(f"there is no gap {gap!r}; the gaps are {', '.join(GAPS)}")
        return cls(revision=revision, **{gap.replace("-", "_"): choice for gap, choice in gaps.items()})

    def of(self, gap: str) -> str:
        """Return the choice made in ``gap``. Raises UsageError for a gap that does not exist."""
        if gap not in GAPS:
            raise UsageError(f"there is no gap {gap!r}; the gaps are {', '.join(GAPS)}")
        choice: str = getattr(self, gap.replace("-", "_"))
        return choice

    def to_mapping(self) -> dict[str, str]:
        """Return {gap: choice} for every gap."""
        return {gap: self.of(gap) for gap in GAPS}
