"""What processes have used, as Linux counts it. Elsewhere nothing is known of others' time."""

import os
import resource
import sys
from pathlib import Path

_PROC = Path("/proc")
_KILOBYTE = 1024


def peak_megabytes() -> float:
    """The most memory that this process has had. (What `getrusage` says begins, after a fork, with the parent's.)"""
    status = _PROC / "self" / "status"
    if status.exists():
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * _KILOBYTE / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else _KILOBYTE) / 1e6


def processor_seconds() -> float:
    """The processor time so far of this process and all that it started, servers included; 0 where nobody knows."""
    ticks, children = dict[int, int](), dict[int, list[int]]()
    for folder in _PROC.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        process, parent = int(folder.name), int(fields[1])
        ticks[process] = sum(map(int, fields[11:15]))  # its own, and that of those children that have ended
        children.setdefault(parent, []).append(process)
    family = [os.getpid()]
    for process in family:
        family += children.get(process, [])
    return sum(ticks.get(process, 0) for process in family) / os.sysconf("SC_CLK_TCK")
