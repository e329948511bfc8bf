"""A guest's throughput: ``python -m tools.guestbench``. This back-end against qemu-storage-daemon, on the same file.

Each serves a guest of its own, one after the other, in turn; the ratio is what counts, since machines are noisy. Both
write to the same file through the page cache, with one queue and no copy of anything else running.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from refimpl.errors import InflightError
from vhost_inflight.guest.machine import Machine
from vhost_inflight.guest.prepare import prepared

LOADS = {"4 KiB random writes, 32 at a time": "random", "1 MiB sequential writes, 4 at a time": "stream"}
SIZE = 256 << 20
WORDS = {"random": (2, "writes a second"), "stream": (6, "MB a second")}


def ours(socket: Path, image: Path, packed: bool) -> list[str]:
    """Return the command that serves with this back-end, nothing held back."""
    command = [sys.executable, "-m", "refimpl.backend.process", "--socket", str(socket), "--image", str(image)]
    plan = socket.with_name("schedule.json")
    plan.write_text('{"hold": 1, "order": "fifo", "batch": 64, "idle": 0}')
    return [*command, "--schedule", str(plan), *(["--packed", "--revision", "hardened"] if packed else [])]


def theirs(socket: Path, image: Path, _packed: bool) -> list[str]:
    """Return the command that serves with qemu-storage-daemon, which knows split rings alone."""
    export = f"type=vhost-user-blk,id=disk,node-name=file,addr.type=unix,addr.path={socket},writable=on"
    return ["qemu-storage-daemon", "--blockdev", f"driver=file,node-name=file,filename={image}", "--export", export]


def used(pid: int) -> float:
    """Return how many seconds of a processor a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(command: list[str], folder: Path, socket: Path, seconds: int, packed: bool) -> dict[str, float]:
    """Boot a guest on a disk, and return what it got done, by load."""
    server = subprocess.Popen(command)
    try:
        with Machine(prepared(), folder, socket, packed=packed) as machine:
            machine.booted()
            found = {}
            for load, (place, _) in WORDS.items():
                before = used(server.pid)
                machine.say(f"load {load} /dev/vda {seconds}")
                result = machine.wait_for("RESULT", 60 + seconds).split()
                found[load] = float(result[place])
                found[f"{load} busy"] = (used(server.pid) - before) / seconds
            return found
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.guestbench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if shutil.which("qemu-storage-daemon") is None:
        sys.exit("qemu-storage-daemon is missing (Debian: apt-get install qemu-system-common)")
    kinds = {"qemu-storage-daemon": (theirs, False), "split": (ours, False), "packed": (ours, True)}
    got: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="vhost-inflight-bench-") as name:
        folder = Path(name)
        image = folder / "image"
        with image.open("wb") as file:
            file.truncate(SIZE)
        for _ in range(asked.rounds):
            for kind, (command, packed) in kinds.items():
                socket = folder / "socket"
                found = measured(command(socket, image, packed), folder, socket, asked.seconds, packed)
                for load, value in found.items():
                    got.setdefault((load, kind), []).append(value)
    for what, load in LOADS.items():
        base = statistics.median(got[load, "qemu-storage-daemon"])
        for kind in kinds:
            value = statistics.median(got[load, kind])
            busy = 100 * statistics.median(got[f"{load} busy", kind])
            ratio = f"{value / base:.2f} of qemu-storage-daemon's"
            print(f"{what}: {kind}: {value:.0f} {WORDS[load][1]}, {ratio}; {busy:.0f}% of a processor")


if __name__ == "__main__":
    try:
        main()
    except InflightError as error:
        sys.exit(f"vhost-inflight: {error}")
