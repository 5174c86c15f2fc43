"""Throughput of `xbind batch` with one worker and with two, and a batch that is killed at random.

    python -P bench/batch_throughput.py --objects 100 --kills 20 --out out/batch

Prints seconds per object, the ratio of the two throughputs and the largest memory of a worker at
its first and last object; then kills workers and drivers at random moments and checks that every
object is there and that none was made twice. On a machine that does nothing else.
"""

import argparse
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

NOUNS = ("mug", "chair", "table", "house", "tree", "rocket", "car", "bell", "lamp", "duck")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--preset", default="smoke")
    parser.add_argument("--out", type=Path, default=Path("out/batch"))
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    listed = options.out / "prompts.txt"
    prompts = [f"a {colour} {noun}" for noun in NOUNS for colour in COLOURS]
    rows = [prompts[k % len(prompts)] for k in range(options.objects)]
    listed.write_text("".join(f"{row}\n" for row in dict.fromkeys(rows)))
    seeds = f"0..{(options.objects - 1) // len(prompts)}"
    common = [str(listed), "--seeds", seeds, "--preset", options.preset, "--device", "cpu"]
    warm_up = options.out / "warm-up"
    shutil.rmtree(warm_up, ignore_errors=True)
    (options.out / "one.txt").write_text("a red mug\n")
    batch([str(options.out / "one.txt"), *common[3:], "--out", str(warm_up)]).wait()  # engines
    rates = {}
    for workers in (1, 2):
        out = options.out / f"workers-{workers}"
        shutil.rmtree(out, ignore_errors=True)
        started = time.monotonic()
        process = batch([*common, "--out", str(out), "--workers", str(workers)])
        memory = watch_memory(process)
        made = len(list(out.glob("runs/*/mesh.glb")))
        rates[workers] = made / (time.monotonic() - started)
        half = len(memory) // 2
        print(
            f"{workers} workers: {made} objects, {1 / rates[workers]:.2f} s each; largest worker "
            f"{max(memory[:half]):.0f} MiB in the first half, {max(memory[half:]):.0f} MiB in the "
            f"second"
        )
    print(f"ratio of throughputs: {rates[2] / rates[1]:.2f}")
    kill_at_random(common, options.out / "killed", options.kills, random.Random(options.seed))


def batch(words: list[str]) -> subprocess.Popen[bytes]:
    """Start `xbind batch`, without its output."""
    script = "from xbind.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", script, "batch", *words], stdout=subprocess.DEVNULL
    )


def children(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
        except OSError:
            continue
    return found


def workers_of(driver: int) -> list[int]:
    """Worker processes: grandchildren of the driver."""
    return [worker for child in children(driver) for worker in children(child)]


def watch_memory(process: subprocess.Popen[bytes]) -> list[float]:
    """Resident memory of the largest worker in MiB, once a second until the process ends."""
    found = [0.0, 0.0]
    while process.poll() is None:
        sizes = []
        for pid in workers_of(process.pid):
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except OSError:
                continue
            sizes.append(pages * 4096 / 2**20)
        found.append(max(sizes, default=0.0))
        time.sleep(1)
    return found


def kill_at_random(common: list[str], out: Path, kills: int, draw: random.Random) -> None:
    """Kill a worker or the driver `kills` times, then let the batch end; check what it made."""
    shutil.rmtree(out, ignore_errors=True)
    words = [*common, "--out", str(out), "--workers", "2", "--attempts", str(kills + 1)]
    seen: dict[str, tuple[int, int]] = {}
    twice: set[str] = set()
    process, killed = batch(words), 0
    moment = time.monotonic() + draw.uniform(1, 10)
    while process.poll() is None or killed < kills:
        if process.poll() is not None:
            break
        for mesh in out.glob("runs/*/mesh.glb"):
            identity = (mesh.stat().st_ino, mesh.stat().st_mtime_ns)
            if seen.setdefault(mesh.parent.name, identity) != identity:
                twice.add(mesh.parent.name)
        if killed < kills and time.monotonic() > moment:
            victims = [process.pid, *workers_of(process.pid)]
            victim = draw.choice(victims)
            subprocess.run(["kill", "-9", str(victim)], check=False)
            killed += 1
            if victim == process.pid:
                process.wait()
                process = batch(words)
            moment = time.monotonic() + draw.uniform(1, 10)
        time.sleep(0.05)
    states = [line.split(",")[3] for line in (out / "summary.csv").read_text().splitlines()[1:]]
    print(f"{killed} kills: {states.count('done')} of {len(states)} objects, {len(twice)} twice")
    if twice or states.count("done") < len(states) or process.returncode:
        sys.exit("the batch is not whole")


if __name__ == "__main__":
    main()
