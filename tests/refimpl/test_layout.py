"""Layouts against a C compiler, and the sizes that real programs use."""

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import pytest

from refimpl.errors import UsageError
from refimpl.layout import (
    DescStatePackedMerged,
    DescStatePackedV6,
    DescStateSplitMerged,
    DescStateSplitV6,
    InflightPayload,
    VringDesc,
    VringUsedElem,
    avail_type,
    overlay,
    region_at,
    region_size,
    region_type,
    used_type,
)
from refimpl.memory import store

ENTRIES = 8

C_SPLIT = "uint64_t features; uint16_t version; uint16_t desc_num; uint16_t {head}; uint16_t used_idx; {entry} desc[8];"
C_PACKED = """uint64_t features; uint16_t version; uint16_t desc_num; uint16_t free_head; uint16_t old_free_head;
uint16_t used_idx; uint16_t old_used_idx; uint8_t used_wrap_counter; uint8_t old_used_wrap_counter;
uint8_t padding[7]; {entry} desc[8];"""
C_STRUCTS = {
    "split_v6": "uint8_t inflight; uint8_t padding; uint16_t next;",
    "split_merged": "uint8_t inflight; uint8_t padding[5]; uint16_t next; uint64_t counter;",
    "packed_v6": "uint8_t inflight; uint8_t padding; uint16_t next; uint16_t last; uint16_t num; uint16_t id;"
    "uint16_t flags; uint32_t len; uint64_t addr;",
    "packed_merged": "uint8_t inflight; uint8_t padding; uint16_t next; uint16_t last; uint16_t num; uint64_t counter;"
    "uint16_t id; uint16_t flags; uint32_t len; uint64_t addr;",
    "region_split_v6": C_SPLIT.format(head="process_head", entry="struct split_v6"),
    "region_split_merged": C_SPLIT.format(head="last_batch_head", entry="struct split_merged"),
    "region_packed_v6": C_PACKED.format(entry="struct packed_v6"),
    "region_packed_merged": C_PACKED.format(entry="struct packed_merged"),
    "payload": "uint64_t mmap_size; uint64_t mmap_offset; uint16_t num_queues; uint16_t queue_size;",
    "desc": "uint64_t addr; uint32_t len; uint16_t flags; uint16_t next;",
    "used_elem": "uint32_t id; uint32_t len;",
    "avail": "uint16_t flags; uint16_t idx; uint16_t ring[8];",
    "used": "uint16_t flags; uint16_t idx; struct used_elem ring[8];",
}
STRUCTURES: dict[str, Any] = {
    "split_v6": DescStateSplitV6,
    "split_merged": DescStateSplitMerged,
    "packed_v6": DescStatePackedV6,
    "packed_merged": DescStatePackedMerged,
    "region_split_v6": region_type("split", "v6", ENTRIES),
    "region_split_merged": region_type("split", "merged", ENTRIES),
    "region_packed_v6": region_type("packed", "v6", ENTRIES),
    "region_packed_merged": region_type("packed", "merged", ENTRIES),
    "payload": InflightPayload,
    "desc": VringDesc,
    "used_elem": VringUsedElem,
    "avail": avail_type(ENTRIES),
    "used": used_type(ENTRIES),
}


def ours() -> dict[str, int]:
    """Return the size of each structure, and the offset and size of each field, of the ctypes structures."""
    told = {}
    for name, structure in STRUCTURES.items():
        told[name] = ctypes.sizeof(structure)
        for field, *_ in structure._fields_:
            told[f"{name}.{field}"] = getattr(structure, field).offset
            told[f"{name}.{field} size"] = getattr(structure, field).size
    return told


def c_program() -> str:
    """Return a C program that prints the same of the structures in C."""
    lines = ["#include <stddef.h>", "#include <stdint.h>", "#include <stdio.h>"]
    lines += [f"struct {name} {{ {body} }};" for name, body in C_STRUCTS.items()]
    lines.append("int main(void) {")
    for name, structure in STRUCTURES.items():
        lines.append(f'printf("{name}=%zu\\n", sizeof(struct {name}));')
        for field, *_ in structure._fields_:
            lines.append(f'printf("{name}.{field}=%zu\\n", offsetof(struct {name}, {field}));')
            lines.append(f'printf("{name}.{field} size=%zu\\n", sizeof(((struct {name} *)0)->{field}));')
    return "\n".join([*lines, "return 0;", "}", ""])


def test_a_c_compiler_agrees(tmp_path: Path) -> None:
    """Every structure and field is where, and as wide as, the C compiler puts it."""
    source = tmp_path / "layout.c"
    source.write_text(c_program())
    subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", "-o", tmp_path / "layout", source], check=True)
    printed = subprocess.run([tmp_path / "layout"], check=True, capture_output=True, text=True).stdout
    assert {line.split("=")[0]: int(line.split("=")[1]) for line in printed.splitlines()} == ours()


@pytest.mark.parametrize(
    ("ring", "sizes"),
    [("split", [128, 192, 2112, 4160, 16448]), ("packed", [192, 320, 4160, 8256, 32832])],
)
def test_sizes_of_real_programs(ring: str, sizes: list[int]) -> None:
    """Merged regions of 4, 8, 128, 256 and 1024 entries have the sizes that real back-ends ask for."""
    assert [region_size(ring, "merged", entries) for entries in (4, 8, 128, 256, 1024)] == sizes


@pytest.mark.parametrize(
    ("ring", "revision", "header", "entry"),
    [("split", "v6", 16, 4), ("split", "merged", 16, 16), ("packed", "v6", 32, 24), ("packed", "merged", 32, 32)],
)
def test_sizes_without_rounding(ring: str, revision: str, header: int, entry: int) -> None:
    """Without a stride a region is its header and entries, up to C's next 8; with one it is that, up to the next 64."""
    for entries in (1, 2, 4, 12, 13, 128):
        exact = (header + entry * entries + 7) // 8 * 8
        assert region_size(ring, revision, entries, "none") == exact
        assert exact <= region_size(ring, revision, entries) < exact + 64
        assert region_size(ring, revision, entries) % 64 == 0


def test_payload_and_packed_header() -> None:
    """The payload has C's tail padding; the packed header has 29 bytes of fields, and desc at 32."""
    packed: Any = region_type("packed", "v6", 1)
    assert ctypes.sizeof(InflightPayload) == 24
    assert (packed.padding.offset + packed.padding.size, packed.desc.offset) == (29, 32)


def test_process_head_has_two_names() -> None:
    """In v6 the list head is one field under the text's name and under the engine's."""
    region = region_at(memoryview(bytearray(64)), "split", "v6", 4)
    store(region, "last_batch_head", 3)
    assert (region.process_head, region.last_batch_head) == (3, 3)
    assert not hasattr(region_type("split", "merged", 4), "process_head")


@pytest.mark.parametrize(
    ("ring", "revision", "entries", "stride"),
    [
        ("round", "v6", 4, "64"),
        ("split", "v7", 4, "64"),
        ("split", "v6", 0, "64"),
        ("split", "v6", 32769, "64"),
        ("split", "v6", 4, "32"),
    ],
)
def test_what_does_not_exist(ring: str, revision: str, entries: int, stride: str) -> None:
    """A ring, revision, number of entries or stride that there is none of is refused."""
    with pytest.raises(UsageError):
        region_size(ring, revision, entries, stride)


def test_overlay_checks_size_and_alignment() -> None:
    """A structure is laid only over enough bytes at a right address."""
    view = memoryview(bytearray(64))
    with pytest.raises(UsageError, match="needs 80 bytes, there are 64"):
        region_at(view, "split", "merged", 4)
    with pytest.raises(UsageError, match="aligned"):
        overlay(VringDesc, view[1:], "a descriptor")
