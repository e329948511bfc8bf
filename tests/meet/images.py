"""The bytes that the model expects in shared memory: its variables, laid out as the text and virtio say."""

import struct
from collections.abc import Iterator

from model.interpret import Machine, StateTuple
from model.layout import Region

FORMS = {1: "=B", 2: "=H", 4: "=I", 8: "=Q"}
"""Of a field's width, how it is packed."""


def image(machine: Machine, layout: Region, state: StateTuple) -> bytes:
    """Give every byte of a ring and its region."""
    ring = (_packed_ring if machine.table.ring == "packed" else _split_ring)(machine, state)
    return ring + bytes(-len(ring) % 64) + _region(machine, layout, state)


def _split_ring(machine: Machine, s: StateTuple) -> bytes:
    p, size = machine.place, machine.sizes.size
    table = b"".join(struct.pack("=QIHH", number, 0, 0, 0) for number in s[p["table"]][:size])
    avail = struct.pack(f"={3 + size}H", 0, s[p["avail.idx"]], *s[p["avail.ring"]], s[p["avail.used_event"]])
    elements = [n for pair in zip(s[p["used.ring[].id"]], s[p["used.ring[].len"]], strict=True) for n in pair]
    used = struct.pack(f"=HH{2 * size}IH", 0, s[p["used.idx"]], *elements, s[p["used.avail_event"]])
    return table + avail + bytes(-len(table + avail) % 4) + used


def _packed_ring(machine: Machine, s: StateTuple) -> bytes:
    p, size = machine.place, machine.sizes.size
    flags = list(_flags(machine, s, "ring.desc[]"))
    fields = [s[p[f"ring.desc[].{name}"]] for name in ("addr", "len", "id")]
    desc = b"".join(struct.pack("=QIHH", *(f[n] for f in fields), flags[n]) for n in range(size))
    off_wrap = s[p["driver_event.off_wrap.slot"]] | s[p["driver_event.off_wrap.wrap"]] << 15
    return desc + struct.pack("=HHHH", off_wrap, s[p["driver_event.flags"]], 0, s[p["device_event.flags"]])


def _flags(machine: Machine, s: StateTuple, of: str) -> Iterator[int]:
    """Give the flags of descriptors: NEXT is bit 0, AVAIL bit 7, USED bit 15."""
    bits = [s[machine.place[f"{of}.flags.{name}"]] for name in ("next", "avail", "used")]
    for goes_on, avail, used in zip(*bits, strict=True):
        yield goes_on | avail << 7 | used << 15


def _region(machine: Machine, layout: Region, s: StateTuple) -> bytes:
    p, entries = machine.place, machine.sizes.entries
    made = bytearray(layout.size(entries))
    for field in layout.header.fields:
        variable = f"region.{'last_batch_head' if field.name == 'process_head' else field.name}"
        if variable in p:
            struct.pack_into(FORMS[field.width], made, field.offset, s[p[variable]])
    for field in layout.entry.fields:
        if field.name == "flags":
            values = list(_flags(machine, s, "region.desc[]"))
        elif f"region.desc[].{field.name}" in p:
            values = list(s[p[f"region.desc[].{field.name}"]])
        else:
            continue
        for number in range(entries):
            struct.pack_into(FORMS[field.width], made, layout.offset(number) + field.offset, values[number])
    return bytes(made)
