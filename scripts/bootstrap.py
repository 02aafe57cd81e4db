"""Makes .venv, installs what a script needs, and runs the script again inside it.

Every script begins with `bootstrap.enter(...)`. This file runs on whatever `python3` is, before
anything is installed, so it uses the standard library alone and syntax that old Pythons can parse.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
OLDEST = (3, 11)
REQUIREMENTS = {
    "local": ["requirements.txt", "local/requirements.txt"],
    "vercel": ["requirements.txt", "local/requirements.txt", "local/vercel/requirements.txt"],
    "evaluate": ["requirements.txt", "local/requirements.txt", "local/evaluation/requirements.txt"],
    "bench": ["requirements.txt", "local/requirements.txt", "local/bench/requirements.txt"],
    "tests": [
        "requirements.txt",
        "local/requirements.txt",
        "local/vercel/requirements.txt",
        "local/evaluation/requirements.txt",
        "local/bench/requirements.txt",
        "tests/requirements.txt",
    ],
}


def enter(needs="local"):
    """Go on in .venv with the packages of `needs` (a key of REQUIREMENTS) and the project on sys.path."""
    if os.environ.get("RECS_BOOTSTRAPPED") != VENV:
        if sys.version_info < OLDEST:
            _run_again_with(_newer_python())
        os.makedirs(os.path.join(ROOT, ".local"), exist_ok=True)
        with open(os.path.join(ROOT, ".local", "bootstrap.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two scripts started together would install over each other
            _ensure_venv()
            _ensure_packages(needs)
        os.environ["RECS_BOOTSTRAPPED"] = VENV
        _run_again_with(VENV_PYTHON)
    del os.environ["RECS_BOOTSTRAPPED"]  # a script that this one starts looks for itself
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before anything imports numpy, see lib/__init__.py
    sys.path[0] = ROOT


def _run_again_with(python):
    sys.stdout.flush()
    os.execv(python, [python, *sys.argv])


def _newer_python():
    for name in ("python3.13", "python3.12", "python3.11", "python3.14"):
        path = shutil.which(name)
        if path and subprocess.call([path, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return path
    sys.exit(
        "This needs Python 3.11 or later; %s is %d.%d. Install one from https://www.python.org/downloads/ and run "
        "the script with it, for example: python3.12 %s" % (sys.executable, *sys.version_info[:2], sys.argv[0])
    )


def _ensure_venv():
    """.venv is of the Python that runs the script, so `python3.13 scripts/test` tests 3.13."""
    version = "%d.%d" % sys.version_info[:2]
    packages = os.path.join(VENV, "lib", "python" + version, "site-packages", "pip")
    if os.path.exists(packages) and os.path.exists(VENV_PYTHON):
        return
    print("Making .venv with Python %s ..." % version, file=sys.stderr, flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], capture_output=True, text=True)
    if made.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            "Python could not make .venv: %s\nOn Debian and Ubuntu install the missing part with: "
            "apt install python3-venv" % (made.stderr.strip() or made.stdout.strip())
        )


def _ensure_packages(needs):
    """A stamp in .venv says which versions are there: those of another checkout's files make it void."""
    if os.path.exists(_stamp(needs)) and _read(_stamp(needs)).decode() == _digest(needs):
        return
    for name in REQUIREMENTS:
        if os.path.exists(_stamp(name)):
            os.remove(_stamp(name))
    _install(REQUIREMENTS[needs][-1])
    for name in REQUIREMENTS:
        if set(REQUIREMENTS[name]) <= set(REQUIREMENTS[needs]):
            with open(_stamp(name), "w") as handle:
                handle.write(_digest(name))


def _install(file):
    print("Installing what %s names (once; about half a minute) ..." % file, file=sys.stderr, flush=True)
    command = [VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "-r", os.path.join(ROOT, file)]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        for line in pip.stdout:
            lines.append(line)
            if line.startswith(("Collecting ", "Installing ")):
                print("  " + line.split(" (from")[0].strip()[:100], file=sys.stderr, flush=True)
    if pip.returncode != 0:
        sys.exit("".join(lines[-15:]) + "\npip could not install %s (above): mend that and run this again." % file)


def _stamp(needs):
    return os.path.join(VENV, "installed-" + needs)


def _digest(needs):
    return hashlib.sha256(b"\0".join(_read(name) for name in REQUIREMENTS[needs])).hexdigest()


def _read(name):
    with open(os.path.join(ROOT, name), "rb") as handle:
        return handle.read()
