"""The door to the model: a table by ring, revision and choices, and what is judged of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from model import gaps as gap_rules
from model.both.errata import SINCE, Erratum
from model.both.proposal import NO_ORDER, STORE_ORDER
from model.both.stopping import NEVER, PAIRS, SUSPENDED
from model.gaps import Gap
from model.interpret import Sizes
from model.packed.gaps import GAPS as PACKED_GAPS
from model.packed.in_order import JUDGEMENTS as PACKED_IN_ORDER
from model.packed.later import LATER as PACKED_LATER
from model.packed.properties import JUDGEMENTS as PACKED_JUDGEMENTS
from model.packed.proposal import ERRATA
from model.packed.proposal import SENTENCES as PACKED_SENTENCES
from model.packed.quiet import quiet as packed_quiet
from model.packed.readings import READINGS as PACKED_READINGS
from model.packed.revisions import HARDENED_EDITS, MERGED
from model.packed.revisions import REVISIONS as PACKED_REVISIONS
from model.packed.revisions import V6 as PACKED_V6
from model.profiles.packed import PROFILES as PACKED_PROFILES
from model.profiles.profile import Profile
from model.profiles.split import PROFILES as SPLIT_PROFILES
from model.properties import NAMES, Judgement
from model.proposal import Mend, Sentence
from model.split.gaps import GAPS as SPLIT_GAPS
from model.split.in_order import JUDGEMENTS as SPLIT_IN_ORDER
from model.split.later import LATER as SPLIT_LATER
from model.split.properties import JUDGEMENTS as SPLIT_JUDGEMENTS
from model.split.proposal import SENTENCES as SPLIT_SENTENCES
from model.split.quiet import quiet as split_quiet
from model.split.revisions import REVISIONS as SPLIT_REVISIONS
from model.split.revisions import V6 as SPLIT_V6
from model.steps import Table
from model.terms import ModelError

__all__ = [
    "RINGS",
    "Subject",
    "edits",
    "errata",
    "errata_since",
    "gaps",
    "judged",
    "judgements",
    "later",
    "like",
    "mends",
    "profiles",
    "properties",
    "readings",
    "revisions",
    "sentences",
    "sizes",
    "table",
    "without",
]

RINGS: tuple[str, ...] = ("split", "packed")


@dataclass(frozen=True)
class Subject:
    """What is judged: a ring, a revision, and the choices that differ from the defaults."""

    ring: str
    revision: str
    choices: tuple[tuple[str, str], ...] = field(default=())

    def __post_init__(self) -> None:
        """Raise `ModelError` if there is no such ring, revision, gap or choice."""
        if self.ring not in RINGS:
            raise ModelError(f"there is no ring {self.ring!r}; there are: {', '.join(RINGS)}")
        if self.revision in profiles(self.ring):
            if self.choices:
                raise ModelError(f"{self.revision} is a profile: it has made its choices")
            return
        if self.revision not in revisions(self.ring):
            raise ModelError(f"there is no revision {self.revision!r}; there are: {', '.join(revisions(self.ring))}")
        gap_rules.check(judged(self.ring), self.revision, dict(self.choices))

    @staticmethod
    def of(ring: str, revision: str, choices: Mapping[str, str]) -> Subject:
        """Make one; choices that are the default are left out."""
        known = judged(ring) if ring in RINGS else {}
        other = {n: c for n, c in choices.items() if n not in known or c != known[n].default}
        return Subject(ring, revision, tuple(sorted(other.items())))

    @property
    def name(self) -> str:
        """Its name within its ring: the revision, and the choices, as in ``merged fetch-position=used-idx``."""
        return " ".join([self.revision, *(f"{gap}={choice}" for gap, choice in self.choices)])

    def choice(self, gap: str) -> str:
        """Give the choice for a gap."""
        return self.chosen.get(gap, judged(self.ring)[gap].default)

    @property
    def chosen(self) -> dict[str, str]:
        """The choices that differ from the defaults: a profile has made its own."""
        return dict(self.choices) if self.profile is None else self.profile.choices()

    @property
    def profile(self) -> Profile | None:
        """The profile that it is, if it is one."""
        return profiles(self.ring).get(self.revision)

    @property
    def base(self) -> str:
        """The revision of the text that it is, or that its profile differs from."""
        return self.revision if self.profile is None else self.profile.base

    @property
    def is_reading(self) -> bool:
        """Whether it chooses what its revision does not leave open: no back-end can be asked to, but it is judged."""
        return any(not judged(self.ring)[gap].open_in(self.revision) for gap, _ in self.choices)

    @property
    def is_the_models_alone(self) -> bool:
        """Whether no back-end of ours can be asked to do so: a reading, or a profile of somebody else's."""
        return self.profile is not None or self.is_reading


def revisions(ring: str) -> tuple[str, ...]:
    """Give the revisions of a ring's text, in order."""
    return tuple({"split": SPLIT_REVISIONS, "packed": PACKED_REVISIONS}[ring])


def profiles(ring: str) -> dict[str, Profile]:
    """Give what back-ends of others do on a ring, as read in their sources, and what each would be if mended."""
    return {"split": SPLIT_PROFILES, "packed": PACKED_PROFILES}[ring]


def gaps(ring: str) -> dict[str, Gap]:
    """Give the gaps of a ring's text."""
    return {"split": SPLIT_GAPS, "packed": PACKED_GAPS}[ring]


def readings(ring: str) -> dict[str, Gap]:
    """Give what no revision leaves open, but a back-end or a driver may do in another way: of the packed ring alone."""
    return {"split": {}, "packed": PACKED_READINGS}[ring]


def later(ring: str) -> dict[str, Gap]:
    """Give what came into the specification after the chapter, as choices: a ring stopped, reset, used in order."""
    return {"split": SPLIT_LATER, "packed": PACKED_LATER}[ring]


def judged(ring: str) -> dict[str, Gap]:
    """Give everything of which more than one choice is judged: gaps, what is read in no other way, what came later."""
    return {**gaps(ring), **readings(ring), **later(ring)}


def like(subject: Subject) -> Subject:
    """Give the first subject that has the same table: pairs of generations may differ in a message's number alone."""
    if (pair := subject.chosen.get("stop", NEVER)) == NEVER:
        return subject
    met = PAIRS[pair]
    first = next(n for n, m in PAIRS.items() if (m.suspends, m.believes) == (met.suspends, met.believes))
    return Subject.of(subject.ring, subject.revision, {**subject.chosen, "stop": first})


def properties(subject: Subject) -> tuple[str, ...]:
    """Give the properties that are judged of a subject: `suspended` where a ring is stopped."""
    return NAMES if subject.chosen.get("stop", NEVER) == NEVER else (*NAMES, SUSPENDED.property)


def judgements(ring: str) -> tuple[Judgement, ...]:
    """Give what is judged, and where."""
    split, packed = (*SPLIT_JUDGEMENTS, *SPLIT_IN_ORDER), (*PACKED_JUDGEMENTS, *PACKED_IN_ORDER)
    return (*{"split": split, "packed": packed}[ring], SUSPENDED)


def sentences(ring: str) -> tuple[Sentence, ...]:
    """Give what the text should say of a ring, in the order of the text."""
    return {"split": SPLIT_SENTENCES, "packed": PACKED_SENTENCES}[ring]


def mends() -> dict[str, Mend]:
    """Give what the text should be mended for: its defects, the order of its stores, the gaps that need a default."""
    named = {name for ring in RINGS for sentence in sentences(ring) for name in sentence.mends}
    questions = {name: gap.question for ring in reversed(RINGS) for name, gap in gaps(ring).items()}
    chosen = (Mend(name, "gap", question) for name, question in questions.items() if name in named)
    since = {name: gap.question for ring in reversed(RINGS) for name, gap in later(ring).items() if name in named}
    after = (Mend(name, "later", question) for name, question in since.items())
    return {mend.name: mend for mend in (*ERRATA, STORE_ORDER, *chosen, *after)}


def errata() -> dict[str, Mend]:
    """Give the defects of the text, that of v6 which merged has mended among them."""
    return {mend.name: mend for mend in (NO_ORDER, *ERRATA)}


def errata_since() -> dict[str, Erratum]:
    """Give what the specification raised around the chapter since."""
    return {erratum.name: erratum for erratum in SINCE}


def edits() -> tuple[str, ...]:
    """Give the named edits that make hardened of merged, on the packed ring."""
    return tuple(HARDENED_EDITS)


def without(edit: str) -> Table:
    """Build the table of hardened without one of its named edits."""
    return PACKED_V6.edited((*MERGED, *(e for name, made in HARDENED_EDITS.items() if name != edit for e in made)))


@cache
def table(subject: Subject, *, quiet: bool = False) -> Table:
    """Build the table of steps; `quiet` leaves the notifications out."""
    v6, known, without_notifications = {
        "split": (SPLIT_V6, SPLIT_REVISIONS, split_quiet),
        "packed": (PACKED_V6, PACKED_REVISIONS, packed_quiet),
    }[subject.ring]
    revised = v6.edited(known[subject.base])
    if subject.profile is None:
        chosen = gap_rules.apply(revised, judged(subject.ring), dict(subject.choices))
    else:
        chosen = subject.profile.applied(revised, judged(subject.ring))
    return without_notifications(chosen) if quiet else chosen


def sizes(subject: Subject, size: int, first: int = 0) -> Sizes:
    """Give the sizes of a run: the region's entries follow from the gap region-size."""
    entries = {"equal": size, "larger": size + 1, "smaller": size - 1}[subject.choice("region-size")]
    return Sizes(size, entries, first)
