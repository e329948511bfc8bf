"""The layouts, against a C compiler that is given the structures as the text declares them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from model.layout import PAYLOAD, REVISIONS, RINGS, Region, Struct, region
from model.terms import ModelError


def _parts(layout: Region) -> tuple[Struct, Struct]:
    return layout.header, layout.entry


HEADER_SPLIT = "u64 features; u16 version; u16 desc_num; u16 %s; u16 used_idx; entry desc[];"
HEADER_PACKED = (
    "u64 features; u16 version; u16 desc_num; u16 free_head; u16 old_free_head; u16 used_idx; u16 old_used_idx; "
    "u8 used_wrap_counter; u8 old_used_wrap_counter; u8 padding[7]; entry desc[];"
)
C_ENTRIES = {
    ("split", "v6"): "u8 inflight; u8 padding; u16 next;",
    ("split", "merged"): "u8 inflight; u8 padding[5]; u16 next; u64 counter;",
    ("packed", "v6"): "u8 inflight; u8 padding; u16 next; u16 last; u16 num; u16 id; u16 flags; u32 len; u64 addr;",
    ("packed", "merged"): "u8 inflight; u8 padding; u16 next; u16 last; u16 num; u64 counter; u16 id; u16 flags; "
    "u32 len; u64 addr;",
}
C_HEADERS = {
    ("split", "v6"): HEADER_SPLIT % "process_head",
    ("split", "merged"): HEADER_SPLIT % "last_batch_head",
    ("packed", "v6"): HEADER_PACKED,
    ("packed", "merged"): HEADER_PACKED,
}
C_PAYLOAD = "u64 mmap_size; u64 mmap_offset; u16 num_queues; u16 queue_size;"
C_TYPES = "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n" + "".join(
    f"typedef uint{bits}_t u{bits};\n" for bits in (8, 16, 32, 64)
)


def asked(struct: Struct, kind: str) -> str:
    """Write C that prints the size of a structure, and offset and width of each field that our table has."""
    lines = [f'printf("size %zu\\n", sizeof({kind}));']
    lines += [
        f'printf("{f.name} %zu %zu\\n", offsetof({kind}, {f.name}), sizeof((({kind} *)0)->{f.name}));'
        for f in struct.fields
    ]
    return "\n".join(lines)


def answered(tmp_path: Path, declarations: str, questions: str) -> list[str]:
    """Compile and run a C program; return the lines that it prints."""
    source, program = tmp_path / "layout.c", tmp_path / "layout"
    source.write_text(f"{C_TYPES}{declarations}\nint main(void) {{\n{questions}\nreturn 0;\n}}\n")
    subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", "-o", program, source], check=True)
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()


def expected(struct: Struct) -> list[str]:
    """Give what the program should print, by our table."""
    return [f"size {struct.size}", *(f"{f.name} {f.offset} {f.width}" for f in struct.fields)]


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("ring", RINGS)
def test_regions_are_as_c_lays_them_out(ring: str, revision: str, tmp_path: Path) -> None:
    """Size, every offset and every width, of the header and of an entry, and where the entries start."""
    declarations = (
        f"typedef struct {{ {C_ENTRIES[ring, revision]} }} entry;\n"
        f"typedef struct {{ {C_HEADERS[ring, revision]} }} header;"
    )
    layout = region(ring, revision)
    questions = asked(layout.header, "header") + asked(layout.entry, "entry")
    questions += 'printf("desc %zu\\n", offsetof(header, desc));'
    wanted = [*expected(layout.header), *expected(layout.entry), f"desc {layout.offset(0)}"]
    assert wanted == answered(tmp_path, declarations, questions)


def test_the_payload_is_as_c_lays_it_out(tmp_path: Path) -> None:
    """24 bytes, the last four of them padding."""
    found = answered(tmp_path, f"typedef struct {{ {C_PAYLOAD} }} payload;", asked(PAYLOAD, "payload"))
    assert expected(PAYLOAD) == found


@pytest.mark.parametrize("struct", [PAYLOAD, *(s for r in RINGS for v in REVISIONS for s in _parts(region(r, v)))])
def test_no_field_is_forgotten(struct: Struct) -> None:
    """Fields follow each other without overlap; a gap is smaller than the field behind it, as alignment makes it."""
    end = 0
    for field in struct.fields:
        element = field.width // field.count
        assert 0 <= field.offset - end < element
        assert field.offset % element == 0
        end = field.offset + field.width
    assert 0 <= struct.size - end < 8


@pytest.mark.parametrize(
    ("ring", "sizes"),
    [
        ("split", {4: 128, 8: 192, 128: 2112, 256: 4160, 1024: 16448}),
        ("packed", {4: 192, 8: 320, 128: 4160, 256: 8256, 1024: 32832}),
    ],
)
def test_region_sizes_are_those_of_real_programs(ring: str, sizes: dict[int, int]) -> None:
    """What libvhost-user and DPDK allocate for one queue."""
    assert sizes == {entries: region(ring, "merged").size(entries) for entries in sizes}


def test_a_region_may_be_left_unrounded() -> None:
    """As one split implementation has it: 16 + 16 * size."""
    assert region("split", "merged").size(5, alignment=1) == 16 + 16 * 5
    assert region("split", "v6").offset(5) == 16 + 4 * 5


def test_what_does_not_exist_is_refused() -> None:
    """A region of another ring, a field of another name."""
    with pytest.raises(ModelError, match="there is no layout of round v6; there are: split v6, split merged, packed"):
        region("round", "v6")
    with pytest.raises(ModelError, match="VhostUserInflight has no field 'size'; it has: mmap_size"):
        PAYLOAD.field("size")
    assert PAYLOAD.field("queue_size").offset == 18
