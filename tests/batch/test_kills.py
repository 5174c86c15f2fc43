"""Processes of a queue killed with SIGKILL: nothing is lost, and nothing is made twice."""

from pathlib import Path

from tests.batch.processes import (
    Made,
    batch,
    finish,
    kill,
    local_workers,
    seeds_in_summary,
    start,
    wait_until,
)

SEEDS = ("--seeds", "0..2", "--workers", "2")


def test_workers_and_driver_killed(tmp_path):
    listed, out = tmp_path / "list.txt", tmp_path / "out"
    listed.write_text("a red mug\n")
    made = Made(out)

    driver = batch(listed, out, *SEEDS)
    wait_until(lambda: list(out.glob("work/*/config.json")))
    [victim, *_] = local_workers(driver.pid)
    assert kill(victim)
    wait_until(
        lambda: "its worker died (killed by signal 9)" in out.with_suffix(".log").read_text()
    )
    wait_until(made.look)
    workers = local_workers(driver.pid)
    assert kill(driver.pid)
    driver.wait()

    driver = batch(listed, out, *SEEDS)
    assert finish(driver) == 0
    assert len(made.look()) == 3
    assert seeds_in_summary(out) == [("0", "done"), ("1", "done"), ("2", "done")]
    assert not any(out.glob("work/*"))
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)  # they left with the driver

    driver = batch(listed, out, *SEEDS)
    assert finish(driver) == 0
    assert "3 of 3 objects are there already" in out.with_suffix(".log").read_text()
    assert len(made.look()) == 3


def test_an_evaluation_whose_processes_are_killed(tmp_path):
    out, colours = tmp_path / "out", ("red", "blue", "green", "yellow")
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"text | a {c} mug | mug | {c}\n" for c in colours))
    words = ("eval", "run", "--prompts", str(listed), "--out", str(out), "--part", "1/2")
    scores = out / "scores.jsonl"

    driver = start(*words, log=out)
    wait_until(lambda: list(out.glob(".queue/work/*/config.json")))
    [victim] = local_workers(driver.pid)
    assert kill(victim)
    wait_until(scores.exists)
    assert kill(driver.pid)
    driver.wait()
    first = scores.read_bytes()
    mesh = (out / "a_red_mug" / "mesh.glb").stat()

    driver = start(*words, log=out)
    assert finish(driver) == 0
    assert scores.read_bytes().startswith(first)
    assert len(scores.read_text().splitlines()) == 2
    again = (out / "a_red_mug" / "mesh.glb").stat()
    assert (again.st_ino, again.st_mtime_ns) == (mesh.st_ino, mesh.st_mtime_ns)
    assert {path.name for path in out.glob("a_*")} == {"a_red_mug", "a_green_mug"}
    log = out.with_suffix(".log").read_text()
    assert "its worker died (killed by signal 9)" in log
    assert log.count("judged a_red_mug") == 1
