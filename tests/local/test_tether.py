import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.tether import Tethered
from tests.support import eventually

SLEEP = ["sh", "-c", "echo $$; exec sleep 60"]
PARENT = """
import os, sys, time
from pathlib import Path
from local.tether import Tethered
Tethered(["sh", "-c", "echo $$; exec sleep 60"], output=Path(sys.argv[1]))
if "--fork" in sys.argv and os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def sleeping(output: Path) -> Iterator[Tethered]:
    """A command that prints its process id and sleeps."""
    tethered = Tethered(SLEEP, output=output)
    eventually(lambda: lines(output))
    yield tethered
    tethered.stop()


def lines(output: Path) -> list[str]:
    return output.read_text().splitlines() if output.exists() else []


def printed_pid(output: Path) -> int:
    return int(eventually(lambda: lines(output))[0])


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_command_ends_when_its_parent_is_killed(output: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, output]) as parent:
        pid = printed_pid(output)
        parent.kill()
    eventually(lambda: is_gone(pid), timeout=5)


def test_the_command_ends_with_its_parent_though_a_fork_of_it_lives_on(output: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, output, "--fork"], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        fork = int(parent.stdout.readline())
        pid = printed_pid(output)
        try:
            parent.kill()
            eventually(lambda: is_gone(pid), timeout=5)
        finally:
            os.kill(fork, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tell a child of its parent's death")
def test_the_command_ends_when_the_tether_is_killed(sleeping: Tethered, output: Path) -> None:
    os.kill(sleeping.pid, signal.SIGKILL)
    eventually(lambda: is_gone(printed_pid(output)))


def test_a_terminated_tether_ends_its_command(sleeping: Tethered, output: Path) -> None:
    os.kill(sleeping.pid, signal.SIGTERM)
    assert sleeping.wait() == 128 + signal.SIGTERM
    assert is_gone(printed_pid(output))


def test_stop_returns_when_the_command_is_gone(sleeping: Tethered, output: Path) -> None:
    assert sleeping.poll() is None
    sleeping.stop()
    assert is_gone(printed_pid(output))
    assert sleeping.poll() == 128 + signal.SIGTERM


def test_stop_sends_the_signal_that_was_asked_for(output: Path) -> None:
    tethered = Tethered(
        ["sh", "-c", 'trap "echo interrupted; exit 5" INT; echo ready; while :; do sleep 0.01; done'],
        output=output,
        stop_signal="INT",
    )
    eventually(lambda: lines(output))
    tethered.stop()
    assert lines(output) == ["ready", "interrupted"]
    assert tethered.poll() == 5


def test_a_command_that_ignores_the_stop_signal_is_killed_with_its_children() -> None:
    impatient = "import sys; from local import tether; tether.GRACE_SECONDS = 0.1; sys.exit(tether.main(sys.argv[1:]))"
    deaf = ["sh", "-c", 'trap "" TERM; sleep 60 & echo $!; wait']
    command = [sys.executable, "-c", impatient, "--", *deaf]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tether:
        assert tether.stdin
        assert tether.stdout
        pid = int(tether.stdout.readline())
        tether.stdin.close()
        tether.wait()
        assert tether.returncode == 128 + signal.SIGKILL
    eventually(lambda: is_gone(pid))


def test_ctrl_c_in_the_terminal_does_not_reach_the_command(sleeping: Tethered, output: Path) -> None:
    terminal = os.getsid(0)
    assert os.getsid(sleeping.pid) != terminal
    assert os.getsid(printed_pid(output)) != terminal


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -TERM $$", 143)])
def test_a_command_that_ends_by_itself_ends_the_tether_with_its_status(script: str, status: int, output: Path) -> None:
    tethered = Tethered(["sh", "-c", script], output=output)
    tethered.wait()
    tethered.stop()
    assert tethered.poll() == status


def test_a_command_that_can_not_be_run_is_named_in_the_output(output: Path) -> None:
    tethered = Tethered(["/no/such/program"], output=output)
    tethered.wait()
    tethered.stop()
    assert tethered.poll() == 127
    assert lines(output)[0].startswith("could not run /no/such/program")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_the_command_runs_as_the_user_and_with_none_of_the_groups_of_root(output: Path) -> None:
    ours = os.getgroups()
    os.setgroups([0])
    try:
        tethered = Tethered(["sh", "-c", "id -un; id -G"], output=output, user="nobody")
        tethered.wait()
        tethered.stop()
    finally:
        os.setgroups(ours)
    user, groups = lines(output)
    assert user == "nobody"
    assert "0" not in groups.split()


def test_the_command_inherits_the_descriptors_that_are_to_be_kept_open(output: Path, tmp_path: Path) -> None:
    with (tmp_path / "kept").open("w") as kept:
        number = kept.fileno()
        tethered = Tethered(["sh", "-c", f"echo inherited >/dev/fd/{number}"], output=output, keep_open=[number])
        tethered.wait()
        tethered.stop()
    assert (tmp_path / "kept").read_text() == "inherited\n"


def test_on_the_command_line_the_command_ends_with_standard_input() -> None:
    command = [sys.executable, "-m", "local.tether", "--stop-signal", "INT", "--", *SLEEP]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tether:
        assert tether.stdin
        assert tether.stdout
        pid = int(tether.stdout.readline())
        tether.stdin.close()
        assert tether.wait() == 128 + signal.SIGINT
    assert is_gone(pid)
