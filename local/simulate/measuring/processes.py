"""What processes have used of the processor, as Linux tells it."""

import os
from pathlib import Path

_PROCESSES = Path("/proc")
_PARENT, _TIMES = 1, slice(11, 15)  # after the command's name: see proc_pid_stat(5)


def is_supported() -> bool:
    return (_PROCESSES / "self" / "stat").exists()


def cpu_seconds_of_group(pid: int) -> float:
    """Of a process, of those that it has started and so on, ended ones included."""
    found = {int(folder.name): fields for folder in _PROCESSES.glob("[0-9]*") if (fields := _fields(folder))}
    group = {pid}
    while more := {child for child, fields in found.items() if int(fields[_PARENT]) in group} - group:
        group |= more
    ticks = sum(int(time) for member in group & found.keys() for time in found[member][_TIMES])
    return ticks / os.sysconf("SC_CLK_TCK")


def _fields(folder: Path) -> list[str] | None:
    """None where it has ended meanwhile."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
