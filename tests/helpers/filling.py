"""Runs a command on a small disk that is full again and again, until it has the room that it needs.

    python filling.py DISK ROOMS COMMAND...

DISK is a tmpfs (see `small_disk`) that holds what the command starts from. ROOMS are bytes, as in 4096,90000:
the command is run once with each of them free, and then with plenty. Prints a line of JSON for each run.
"""

import json
import os
import subprocess
import sys

PLENTY = 256_000_000


def resize(disk: str, room: int) -> None:
    there = os.statvfs(disk)
    used = (there.f_blocks - there.f_bfree) * there.f_frsize
    size = (used + room) // 4096 * 4096
    subprocess.run(["mount", "-o", f"remount,size={max(size, 4096)}", disk], check=True)


if __name__ == "__main__":
    disk, rooms = sys.argv[1], [int(room) for room in sys.argv[2].split(",")]
    for room in (*rooms, PLENTY):
        resize(disk, room)
        done = subprocess.run(sys.argv[3:], capture_output=True, text=True, check=False)
        print(json.dumps([done.returncode, done.stdout, done.stderr]), flush=True)
