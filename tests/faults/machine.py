"""Machines that lack something: room, rights, memory, a home folder, system calls, a terminal."""

import errno
import os
import resource
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.faults import seccomp
from tests.faults.commands import Ended, command, forked, open_streams
from tests.faults.outcomes import Case
from tests.faults.runs import PROMPTS, whole_run, words_of

NOBODY = 65_534
"""User that owns nothing."""
FILE_SIZES = (0, 4_096, 20_000, 400_000, 3_000_000, 8_000_000)
"""Bytes that a file may have: config.json, checkpoints and outputs exceed them in this order."""
MEMORY_MIB = (50, 200, 500)
"""Address space beyond what the process has when it is forked."""
ERRORS = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def machine_cases(folder: Path, scale: float) -> Iterator[Case]:
    """Limits and lacks; at scales below 1 some of each."""
    for size in _some(FILE_SIZES, scale):
        yield f"machine/full-{size}", partial(_full, folder, size)
    for mib in _some(MEMORY_MIB, scale):
        yield f"machine/memory-{mib}", partial(_memory, folder, mib)
    for count in _some((8, 16, 24, 32, 64), scale):
        yield f"machine/files-{count}", partial(_files, folder, count)
    for where in _some(("out", "parent", "cache"), scale):
        yield f"machine/closed-{where}", partial(_closed, folder, where)
    for what in _some(("HOME", "HOME of nobody", "TMPDIR"), scale):
        yield f"machine/no-{what}", partial(_no_home, folder, what)
    if seccomp.can_fail():
        calls = [(call, error) for call in ("flock", "fsync") for error in ERRORS]
        for call, error in _some(calls, scale):
            name = f"machine/{call}-{errno.errorcode[error]}"
            yield name, partial(_call_fails, folder, call, error)
    for years in _some((-30, 10), scale):
        yield f"machine/clock-{years}", partial(_clock, folder, years)


def stream_cases(folder: Path, scale: float) -> Iterator[Case]:
    """Outputs that cannot be written."""
    commands = [("--version",), ("bundle", "show"), ("generate", "a red mug", "--preset", "x"),
                ("plan",), ("engines", "list"), ("nonsense",)]  # fmt: skip
    states = ("closed out", "closed both", "full out", "full both", "ASCII", "no reader")
    for words in _some(commands, scale):
        for state in states:
            yield f"streams/{words[0]}-{state}", partial(_stream, words, state)
    yield "streams/run-full", partial(_stream_of_run, folder)


def together_cases(folder: Path, scale: float) -> Iterator[Case]:
    """Two and eight runs at once."""
    for count in _some((2, 8), scale):
        yield f"together/one-folder-{count}", partial(_one_folder, folder, count)
        yield f"together/folders-{count}", partial(_folders, folder, count)


def _some(things: object, scale: float) -> list:
    everything = list(things)
    return everything[: max(1, round(len(everything) * min(1.0, scale)))]


def _fresh(folder: Path, name: str) -> Path:
    out = folder / name
    shutil.rmtree(out, ignore_errors=True)
    return out


def _resumed(folder: Path, out: Path, ended: Ended) -> str | None:
    """A refusal in words, and a run that then goes on to what an undisturbed one leaves."""
    fault = ended.fault(0, 1)
    if fault is None:
        words = words_of(PROMPTS[0], out)
        if (out / "config.json").exists():
            words = ("generate", "--resume", "--out", str(out))
        fault = forked(command(*words)).fault(0) or whole_run(folder).difference(out)
    shutil.rmtree(out, ignore_errors=True)
    return fault


def _full(folder: Path, size: int) -> str | None:
    whole_run(folder)
    out = _fresh(folder, f"full-{size}")

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        # standard output and error are files here, and small
        resource.setrlimit(resource.RLIMIT_FSIZE, (max(size, 1_024), max(size, 1_024)))
        command(*words_of(PROMPTS[0], out))()

    ended = forked(work)
    if ended.status == 1 and "No room left" not in ended.err and "output cannot" not in ended.err:
        return f"wrong diagnosis: {ended.err}"
    return _resumed(folder, out, ended)


def _memory(folder: Path, mib: int) -> str | None:
    whole_run(folder)
    out = _fresh(folder, f"memory-{mib}")

    def work() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + mib * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        command(*words_of(PROMPTS[0], out))()

    ended = forked(work)
    if ended.status == 1 and "memory" not in ended.err:
        return f"wrong diagnosis: {ended.err}"
    return _resumed(folder, out, ended)


def _files(folder: Path, count: int) -> str | None:
    whole_run(folder)
    out = _fresh(folder, f"files-{count}")

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
        command(*words_of(PROMPTS[0], out))()

    return _resumed(folder, out, forked(work))


def _closed(folder: Path, where: str) -> str | None:
    """Folders that belong to somebody else."""
    place = _fresh(folder, f"closed-{where}")
    out = place / "parent" / "out"
    out.mkdir(parents=True)
    cache = place / "cache"
    cache.mkdir()
    for path in (place, place / "parent", out, cache):
        path.chmod(0o777)
    {"out": out, "parent": out.parent, "cache": cache}[where].chmod(0o555)
    if where == "parent":
        out.rmdir()

    def work() -> None:
        os.environ["XBIND_CACHE"] = str(cache)
        os.environ["HOME"] = str(place)
        if os.getuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        command(*words_of(PROMPTS[0], out, "--reference-only"))()

    ended = forked(work)
    fault = ended.fault(0) if where == "cache" else ended.fault(1)
    if fault is None and where != "cache" and "ermission" not in ended.err:
        fault = f"wrong diagnosis: {ended.err}"
    if fault is None:
        shutil.rmtree(place)
    return fault


def _no_home(folder: Path, what: str) -> str | None:
    out = _fresh(folder, "no home")
    out.parent.chmod(0o777)

    def work() -> None:
        for name in ("HOME", "XDG_CACHE_HOME", "XBIND_CACHE", "TMPDIR"):
            os.environ.pop(name, None)
        if what == "HOME of nobody" and os.getuid() == 0:
            os.setuid(12_345)  # no entry in the list of users
        if what == "TMPDIR":
            os.environ["TMPDIR"] = "/nowhere"
        command(*words_of(PROMPTS[0], out, "--reference-only"))()

    fault = forked(work).fault(0)
    shutil.rmtree(out, ignore_errors=True)
    return fault


def _call_fails(folder: Path, call: str, error: int) -> str | None:
    whole_run(folder)
    out = _fresh(folder, f"{call}-{error}")

    def work() -> None:
        seccomp.let_fail(call, error)
        command(*words_of(PROMPTS[0], out))()

    ended = forked(work)
    fault = ended.fault(0) or whole_run(folder).difference(out)
    if fault is None and (call == "flock") != ("has no locks" in ended.out):
        fault = "does not tell that there is no lock"
    shutil.rmtree(out, ignore_errors=True)
    return fault


def _clock(folder: Path, years: int) -> str | None:
    """A clock that is set while a run is interrupted: its files are newer or older than now."""
    whole = whole_run(folder)
    out = _fresh(folder, f"clock-{years}")
    moment = 0.7 * whole.seconds
    forked(command(*words_of(PROMPTS[0], out)), signals=[(moment, signal.SIGKILL)])
    other = time.time() + years * 31_557_600
    for at, path in enumerate(sorted(out.rglob("*"), reverse=True)):
        os.utime(path, (other + at, other + at))
    return _resumed(folder, out, Ended(0, "", ""))


def _stream(words: tuple[str, ...], state: str) -> str | None:
    def work() -> None:
        _set_streams(state)
        command(*words)()

    ended = forked(work, limit_s=120)
    if state in ("full both", "closed both") and ended.status in (0, 1, 2):
        return None  # nothing can be told
    failing = "full" in state or state == "no reader"
    return ended.fault(1, 2, 141) if failing else ended.fault(0, 1, 2)


def _stream_of_run(folder: Path) -> str | None:
    whole_run(folder)
    out = _fresh(folder, "full-output")

    def work() -> None:
        _set_streams("full out")
        command(*words_of(PROMPTS[0], out))()

    ended = forked(work)
    if ended.status == 1 and "cannot be written" not in ended.err:
        return f"wrong diagnosis: {ended.err}"
    return _resumed(folder, out, ended)


def _set_streams(state: str) -> None:
    if state == "ASCII":
        sys.stdout.reconfigure(encoding="ascii", errors="strict")
        sys.stderr.reconfigure(encoding="ascii", errors="strict")
        return
    descriptors = (1, 2) if "both" in state else (1,)
    for descriptor in descriptors:
        if "closed" in state:
            os.close(descriptor)
        elif "full" in state:
            os.dup2(os.open("/dev/full", os.O_WRONLY), descriptor)
        else:
            reading, writing = os.pipe()
            os.close(reading)
            os.dup2(writing, descriptor)
    open_streams()


def _start(work: Callable[[], object], name: str, folder: Path) -> Callable[[], Ended]:
    """Start something beside others; the result waits for it."""
    ended: list[Ended] = []
    thread = threading.Thread(target=lambda: ended.append(forked(work)), name=name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        thread.start()

    def wait() -> Ended:
        thread.join()
        return ended[0]

    return wait


def _one_folder(folder: Path, count: int) -> str | None:
    """One of them makes the object, the others are refused."""
    whole = whole_run(folder)
    out = _fresh(folder, f"one-{count}")
    runs = [_start(command(*words_of(PROMPTS[0], out)), f"{k}", folder) for k in range(count)]
    every = [wait() for wait in runs]
    faults = [fault for ended in every if (fault := ended.fault(0, 1))]
    done = sum(ended.status == 0 for ended in every)
    words = all("in use by" in e.err or "already holds" in e.err for e in every if e.status == 1)
    if not faults and (done != 1 or not words):
        faults = [f"{done} of {count} runs made it: {[e.err for e in every]}"]
    fault = faults[0] if faults else whole.difference(out)
    shutil.rmtree(out, ignore_errors=True)
    return fault


def _folders(folder: Path, count: int) -> str | None:
    """All of them make the object, with one cache that is empty when they start."""
    whole, cache = whole_run(folder), _fresh(folder, f"cache-{count}")

    def work(out: Path) -> None:
        os.environ["XBIND_CACHE"] = str(cache)
        command(*words_of(PROMPTS[0], out))()

    outs = [_fresh(folder, f"folders-{count}-{k}") for k in range(count)]
    runs = [_start(partial(work, out), out.name, folder) for out in outs]
    faults = [wait().fault(0) for wait in runs]
    faults += [whole.difference(out) for out in outs]
    for path in (*outs, cache):
        shutil.rmtree(path, ignore_errors=True)
    return next((fault for fault in faults if fault), None)
