"""How much memory each worker has for itself, and how much it shares (Linux).

python memory.py PID    # of gunicorn's master process
"""

import sys
from pathlib import Path


def memory(pid: int) -> dict[str, int]:
    """Return the resident memory of a process in bytes: `Rss` in all, and `Private`, which it shares with nobody."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return {"Rss": sizes["Rss"], "Private": sizes["Private_Clean"] + sizes["Private_Dirty"]}


def workers(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


if __name__ == "__main__":
    for each in workers(int(sys.argv[1])):
        found = memory(each)
        print(f"worker {each}: {found['Rss'] >> 20} MB resident, {found['Private'] >> 20} MB of it its own")
