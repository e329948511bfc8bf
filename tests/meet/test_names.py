"""Names and numbers that both sides write on their own: step ids, stores, gaps, layouts."""

import ctypes
from typing import Any

import pytest

from model import protocol
from model.layout import ALIGNMENT, C_ALIGNMENT, PAYLOAD, REVISIONS, RINGS, Struct, region
from model.packed.quiet import NOTIFICATIONS as PACKED_NOTIFICATIONS
from model.record import SHARED
from model.split.quiet import NOTIFICATIONS
from refimpl.backend.memory import InflightBuffer, create_inflight
from refimpl.choices import GAPS_OF, Choices, open_in
from refimpl.errors import FrontEndError
from refimpl.hooks import STEP_IDS_OF, STORING_STEP_IDS_OF
from refimpl.layout import STRIDES, InflightPayload, region_size, region_type
from refimpl.wire.payload import Inflight
from tests.strategies import subjects
from vhost_inflight.judging.play.schedule import NOTIFICATIONS as OURS


def recorded_ids(ring: str, *, storing: bool) -> set[str]:
    """Give the ids of the model's steps in all revisions and gaps; those alone that store to shared memory."""
    found = set()
    for subject in subjects(ring):
        table = protocol.table(subject)
        for recorded in table.recorded():
            kinds = {table.vars[a.name].kind for a in recorded.assigns}
            memory = bool(kinds & (set(SHARED) - {"eventfd"})) and recorded.step.id != f"{ring}.start.fresh"
            if memory or not storing:
                found.add(recorded.step.id)
    return found


@pytest.mark.parametrize("ring", RINGS)
def test_step_ids(ring: str) -> None:
    """Neither side has a step that the other lacks; a crash is no step of a program."""
    assert recorded_ids(ring, storing=False) - {"crash"} == STEP_IDS_OF[ring]


@pytest.mark.parametrize("ring", RINGS)
def test_storing_steps(ring: str) -> None:
    """Both sides agree which steps store to shared memory, but for a region that is initialised before hand-over."""
    assert recorded_ids(ring, storing=True) == STORING_STEP_IDS_OF[ring]


@pytest.mark.parametrize("ring", RINGS)
def test_gaps(ring: str) -> None:
    """Both sides have the same gaps with the same choices in the same order, open in the same revisions."""
    model = {gap.name: tuple(a.name for a in gap.alternatives) for gap in protocol.gaps(ring).values()}
    assert model == dict(GAPS_OF[ring])
    for gap in protocol.gaps(ring).values():
        assert set(open_in(gap.name)) == {r for r in protocol.revisions(ring) if gap.open_in(r)}


def test_notifications() -> None:
    """What a schedule without notifications leaves out is what the quiet table leaves out."""
    assert {"split": set(NOTIFICATIONS), "packed": set(PACKED_NOTIFICATIONS)} == OURS


def offsets(structure: type[ctypes.Structure]) -> dict[str, tuple[int, int]]:
    """Give offset and width of each field of a ctypes structure, but for the entries at its end."""
    descriptors = {name: getattr(structure, name) for name, *_ in structure._fields_}
    return {name: (d.offset, d.size) for name, d in descriptors.items() if name != "desc"}


def of_model(struct: Struct) -> dict[str, tuple[int, int]]:
    """Give the same of a structure of the model."""
    return {field.name: (field.offset, field.width) for field in struct.fields}


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("revision", REVISIONS)
def test_regions(ring: str, revision: str) -> None:
    """Header, entry and the size of a region agree, field by field."""
    model, reference = region(ring, revision), region_type(ring, revision, 8)
    assert of_model(model.header) == offsets(reference)
    kinds: dict[str, Any] = {name: kind for name, kind, *_ in reference._fields_}  # some have a third part
    entry = kinds["desc"]._type_
    assert of_model(model.entry) == offsets(entry)
    assert model.offset(3) == reference.desc.offset + 3 * ctypes.sizeof(entry)
    assert [model.size(n) for n in (1, 4, 128)] == [region_size(ring, revision, n) for n in (1, 4, 128)]


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("stride", STRIDES)
def test_several_regions(ring: str, revision: str, stride: str) -> None:
    """Where each queue's region begins, and how few bytes are enough for all of them, is what the proof speaks of."""
    model, alignment = region(ring, revision), ALIGNMENT if stride == str(ALIGNMENT) else C_ALIGNMENT
    choices = Choices(revision=revision, ring=ring)
    for entries in (1, 3, 8):
        memory, payload = create_inflight(Inflight(0, 0, 3, entries), 3, choices, stride)
        least = model.buffer(3, entries, alignment=alignment)
        with memory:
            assert payload.mmap_size == 3 * model.size(entries, alignment=alignment) >= least
            enough = InflightBuffer(Inflight(least, 0, 3, entries), memory.fd, 3, choices, stride)
            first, *others = (ctypes.addressof(enough.region(queue)) for queue in range(3))
            starts = [model.start(queue, entries, alignment=alignment) for queue in (1, 2)]
            assert [other - first for other in others] == starts
            enough.close()
            with pytest.raises(FrontEndError, match="too few for 3 regions"):
                InflightBuffer(Inflight(least - 1, 0, 3, entries), memory.fd, 3, choices, stride)


def test_payload() -> None:
    """The payload of the two messages agrees."""
    assert of_model(PAYLOAD) == offsets(InflightPayload)
    assert ctypes.sizeof(InflightPayload) == PAYLOAD.size
