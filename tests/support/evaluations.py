"""Folders as `xbind eval run` leaves them, with figures that a test chooses."""

from xbind.batch.jobs import Job
from xbind.batch.queue import Queue
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.evaluation.records import EvaluationFolder
from xbind.networks.manifest import load_manifest

BUNDLE = load_manifest("mini").digest


def text(words, category="mug"):
    """An entry of a list."""
    return {"kind": "text", "words": words, "category": category, "colour": None, "variant": 0}


def evaluation(path, objects, *, seed=0, seconds=20.0, attempts=1, workers=2, **settings):
    """Writes an evaluation.

    Args:
        path: its folder.
        objects: (entry of the list, figures or None where nothing came out), one after the other.
        seed: of all objects.
        seconds: of each run.
        attempts: of each run.
        workers: how many worked on it.
        **settings: others than those of the preset `default`.
    """
    folder = EvaluationFolder(path)
    plain = {
        "preset": "default", "changes": {}, "without": [], "phase2_loss": None, "from_phase1": None,
        "seed": seed, "bundle_sha256": BUNDLE, "prior_3d": None, "device": "cpu",
        "precision": "float32", "vram": None, "prompts": [entry for entry, _ in objects],
        "commits": ["abc"], "commands": [f"xbind eval run --out {path} --seed {seed}"],
    }  # fmt: skip
    folder.settle(plain | settings)
    queue = Queue(path / ".queue", path)
    for order, (entry, figures) in enumerate(objects):
        name = entry["words"].replace(" ", "_")
        config = GenerateConfig(prompt=PromptConfig(text=entry["words"]), seed=seed)
        queue.add(Job(id=f"{order:016x}", config=config, title=name), order)
        ended = {"seconds": seconds, "attempts": attempts, "has_no_surface": figures is None}
        queue.release(f"{order:016x}", state="failed" if figures is None else "done", **ended)
        row = {"object": name, "kind": entry["kind"], "mesh": "m", "judges": ["judge", "self"]}
        failure = "no surface" if figures is None else None
        folder.append(row | {"figures": figures or {"clip_r": 0.0}, "failure": failure})
    for k in range(workers):
        (path / ".queue/logs").mkdir(exist_ok=True)
        (path / f".queue/logs/worker-{k + 1}.log").touch()
    return path
