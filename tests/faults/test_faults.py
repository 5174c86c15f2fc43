"""A few cases of every class of fault; `make faults` tries hundreds."""

import contextlib
import ctypes
import itertools
import os
import random
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import damage, inputs, kills, machine, run, seccomp
from tests.faults.commands import Ended, command, forked
from tests.faults.outcomes import ABOUT, Outcome, read_outcomes, to_page, try_all, try_one


def every(cases):
    """The faults of all cases, by name."""
    found = [try_one(name, attempt) for name, attempt in cases]
    assert found
    return {outcome.case: outcome.fault for outcome in found if outcome.fault is not None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


def test_damaged_files_are_found_or_change_nothing(tmp_path):
    assert every(damage.damage_cases(tmp_path, 5 * len(damage.TARGETS))) == {}


def test_malformed_options_and_files_are_refused_in_words(tmp_path):
    assert every(inputs.input_cases(tmp_path, 60)) == {}


def test_outputs_that_cannot_be_written(tmp_path):
    assert every(itertools.islice(machine.stream_cases(tmp_path, 0.4), 12)) == {}


def test_killed_and_resumed_is_the_undisturbed_run(folder):
    assert every(kills.kill_cases(folder, 1)) == {}


def test_ctrl_c_is_told_once_with_the_right_advice(tmp_path):
    """In a process of its own: a fork of one that has run thousands of tests has crashed here."""
    words = ["--class", "interrupt", "--scale", "0.2", "--case", "interrupt/5", "--out", tmp_path]
    runner = Path(run.__file__)
    done = subprocess.run(
        [sys.executable, "-P", runner, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "1 cases, 1 clean"


@pytest.mark.skipif(not seccomp.can_fail(), reason="the system calls of this machine are not known")
def test_a_machine_without_locks(folder):
    assert every([("machine/flock", lambda: machine._call_fails(folder, "flock", 38))]) == {}


def test_two_runs_in_one_folder(folder):
    assert every([("together/2", lambda: machine._one_folder(folder, 2))]) == {}


def test_a_fault_is_seen():
    """Every way in which a command may end badly."""
    ended = forked(lambda: 1 / 0)
    assert ended.fault().startswith("traceback: ZeroDivisionError")
    assert "status -15" in forked(lambda: os.kill(os.getpid(), 15)).fault()
    assert "status -9" in forked(lambda: os.read(os.pipe()[0], 1), limit_s=0.2).fault()
    assert Ended(1, "", " ").fault() == "refused without a word"
    assert "control character" in Ended(1, "", "no \x1b[31m").fault()
    assert Ended(0, "", "").fault(1) is not None
    assert forked(command("--version")).fault(0) is None


def _ask_a_name():
    with contextlib.suppress(OSError):
        socket.getaddrinfo("127.0.0.1", 9)


def _connect():
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 9), timeout=1):
        pass


def _send():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", 9))


def _talk_to_another_process(folder):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(folder / "s"))
        server.listen()
        client.connect(str(folder / "s"))


@pytest.mark.parametrize(
    ("work", "counts"),
    [
        (lambda: subprocess.run(["/bin/true"], check=True), (1, 0)),
        (lambda: os.system("true"), (1, 0)),
        (lambda: os.posix_spawn("/bin/true", ["true"], {}), (1, 0)),
        (lambda: os.execv("/bin/true", ["true"]), (1, 0)),
        (lambda: ctypes.CDLL(None).system(b"true"), (1, 0)),
        (command("--version"), (0, 0)),
        (_ask_a_name, (0, 1)),
        (_connect, (0, 2)),  # the name is looked up too
        (_send, (0, 1)),
    ],
)
def test_programs_and_connections_are_counted(work, counts):
    outcome = try_one("input/a", lambda: forked(work).fault(0))
    assert (outcome.programs, outcome.connections) == counts
    assert (outcome.fault is None) == (counts == (0, 0))
    assert try_one("input/b", lambda: None).fault is None


def test_a_socket_between_processes_is_no_connection(tmp_path):
    outcome = try_one("input/a", lambda: forked(lambda: _talk_to_another_process(tmp_path)).fault())
    assert (outcome.fault, outcome.connections) == (None, 0)


def test_events_of_a_killed_process_on_a_full_disk_are_counted():
    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        os.posix_spawn("/bin/true", ["true"], {})
        os.kill(os.getpid(), 9)

    assert try_one("kill/a", lambda: forked(work).fault(-9)).programs == 1


def test_a_changed_file_that_is_accepted_is_seen(tmp_path, monkeypatch):
    trusting = damage.Target(
        lambda folder: (folder / "number.txt").write_text("1"),
        "number.txt",
        lambda folder: (folder / "number.txt").read_bytes().hex(),
    )
    monkeypatch.setitem(damage.TARGETS, "number", trusting)
    faults = [damage.damage(tmp_path, "number", k) for k in range(8)]
    assert any(fault and "accepted in silence" in fault for fault in faults)
    missing = [fault for fault in faults if fault and "FileNotFoundError" in fault]
    assert len(missing) + sum("accepted" in (fault or "") for fault in faults) > 5


def test_changes_change_something(tmp_path):
    path = tmp_path / "a"
    kinds = set()
    for k in range(100):
        path.write_bytes(bytes(range(200)))
        kinds.add(damage.change(path, random.Random(k)).partition(" at")[0])
        assert not path.is_file() or path.read_bytes() != bytes(range(200))
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    assert len(kinds) == 10


def test_outcomes_are_kept_and_counted(tmp_path):
    record, tried = tmp_path / "outcomes.jsonl", []

    def case(name, fault):
        return f"kill/{name}", lambda: (tried.append(name), fault)[1]

    cases = [case("a", None), case("b", "wrong result: it differs")]
    found = [outcome.fault for outcome in try_all(iter(cases), record)]
    assert found == [None, "wrong result: it differs"]
    with record.open("a") as file:
        file.write('{"case": "kil')
    cases.append(case("c", None))
    assert [outcome.case for outcome in try_all(iter(cases), record)] == ["kill/c"]
    assert tried == ["a", "b", "c"]
    page = to_page(read_outcomes(record))
    assert f"| kill | {ABOUT['kill']} | 3 | 2 |" in page
    assert "- `kill/b`: wrong result: it differs" in page
    assert "Programs started: 0. Connections opened: 0." in page
    assert Outcome("kill/b", None, 1.0, 0, 0).kind == "kill"
