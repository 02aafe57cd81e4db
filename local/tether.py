"""Keep a command alive only as long as the process that started it, however that one ends.

`python -m local.tether [--stop-signal INT] [--user NAME] -- COMMAND...` runs the command and holds a pipe, its standard
input, whose other end belongs to the parent. When that end closes, `kill -9` of the parent included, the command gets
the stop signal, and three seconds later SIGKILL. On Linux the kernel kills the command too if the tether itself is
killed; macOS has no such call, so there only a killed tether (not a killed parent) leaves its command behind.

`Tethered` is the parent's side.
"""

import argparse
import contextlib
import ctypes
import os
import pwd
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_SECONDS = 3.0
PARENT_CHECK_SECONDS = 1.0  # a fork of the parent may hold the pipe open after the parent's death
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
COULD_NOT_RUN = 127  # the shell's exit status for a command that it can't execute


class Tethered:
    """A running command that ends with this process.

    `output` is appended to; `user` is the name of another user to run as (root only); the descriptors in `keep_open`
    are inherited by the command. The command is started in a session of its own: Ctrl-C in a terminal doesn't reach it.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        output: Path,
        stop_signal: str = "TERM",
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        keep_open: Sequence[int] = (),
    ) -> None:
        # Isolated and without site-packages: the tether needs the standard library alone, and starts in 20 ms.
        tether = [sys.executable, "-I", "-S", __file__, "--stop-signal", stop_signal]
        as_user = ["--user", user] if user else []
        with output.open("ab") as log:
            self._process = subprocess.Popen(
                [*tether, *as_user, "--", *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=env,
                cwd=cwd,
                pass_fds=keep_open,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id of the tether, whose one child is the command."""
        return self._process.pid

    def poll(self) -> int | None:
        """The command's exit status as a shell gives it (128 + N for signal N), or None while it runs."""
        return self._process.poll()

    def wait(self) -> int:
        """Wait for the command's own end; its exit status as `poll` gives it."""
        return self._process.wait()

    def stop(self) -> None:
        """End the command, by its stop signal or at last by SIGKILL; returns when it is gone."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()


def main(arguments: Sequence[str]) -> int:
    """Run the command until it ends or the parent does; returns its exit status as a shell would."""
    options = _parse(arguments)
    parent = os.getppid()
    signals = _listen_for_signals()
    try:
        child = _start(options.command, options.user)
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        print(f"could not run {options.command[0]}: {error}", file=sys.stderr)
        return COULD_NOT_RUN
    if _outlives(child, parent, signals):
        _end(child, options.stop_signal)
    status = child.wait()
    return status if status >= 0 else 128 - status


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="local.tether", description="keep a command alive as long as standard input")
    parser.add_argument("--stop-signal", choices=("INT", "TERM"), default="TERM")
    parser.add_argument("--user", help="run the command as this user")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def _listen_for_signals() -> int:
    """The end of a pipe on which signals arrive as bytes.

    Handlers, not SIG_IGN, because what is ignored stays ignored in the command.
    """
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return read_end


def _start(command: Sequence[str], user: str | None) -> subprocess.Popen[bytes]:
    tether = os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def die_with_the_tether() -> None:
        if prctl:  # after setuid, which would clear it; the tether has one thread, the one that the kernel watches
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != tether:
                os._exit(COULD_NOT_RUN)

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        close_fds=False,
        start_new_session=True,
        preexec_fn=die_with_the_tether,
        user=user,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
    )


def _outlives(child: subprocess.Popen[bytes], parent: int, signals: int) -> bool:
    """Wait for the end of either; true where the child is the one that is left, or the tether is told to stop."""
    while child.poll() is None:
        readable, _, _ = select.select([sys.stdin.fileno(), signals], [], [], PARENT_CHECK_SECONDS)
        if os.getppid() != parent:
            return True
        if sys.stdin.fileno() in readable and not os.read(sys.stdin.fileno(), 1024):
            return True
        if signals in readable and signal.SIGTERM in os.read(signals, 1024):
            return True
    return False


def _end(child: subprocess.Popen[bytes], stop_signal: str) -> None:
    child.send_signal(signal.Signals[f"SIG{stop_signal}"])
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
