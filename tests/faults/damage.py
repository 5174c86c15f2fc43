"""Files that are changed behind xbind's back, and read back by what reads them."""

import hashlib
import importlib.util
import json
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.faults.commands import forked, refused_or
from tests.faults.outcomes import Case
from tests.support.run_files import whole_config
from tests.support.spheres import sphere
from xbind.engine.record import Key, Made
from xbind.engine.spec import GraphSpec
from xbind.engine.store import EngineStore
from xbind.evaluation.records import EvaluationFolder
from xbind.networks.manifest import FORMAT, ROLES, load_manifest, verify
from xbind.run.events import read_events
from xbind.run.folder import resume_run, start_run
from xbind.run.resuming import started_config
from xbind.scene.mesh.baking import bake, unwrap
from xbind.scene.mesh.files import write_glb
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.textured import read_glb
from xbind.system import jit

KEY = Key({"graph": "ms-b3", "backend": "onnxruntime"})
HOW = ("bit", "bit", "byte", "zeros", "cut", "more", "lost block", "empty", "folder", "doubled",
       "gone")  # fmt: skip
"""Ways in which a file changes."""
KERNEL = """
from xbind.system.jit import cached_njit

@cached_njit(nogil=True)
def twice(x):
    return 2 * x
"""


@dataclass(frozen=True)
class Target:
    """Files that one part of xbind reads back."""

    make: Callable[[Path], object]
    """Writes them into an empty folder."""
    files: str
    """Pattern of those that are changed."""
    read: Callable[[Path], object]
    """What is read back, as plain data; raises an `XBindError` for what it refuses."""
    accepts: Callable[[object, object], bool] = lambda found, whole: found == whole
    """Whether something that was read, and not refused, is right beside the undamaged files'."""
    may_go: bool = False
    """Whether a file that is gone is no damage: a run goes on from the checkpoint before it."""


def damage_cases(folder: Path, count: int) -> Iterator[Case]:
    """Changes of every file of every target, `count` in all."""
    names = list(TARGETS)
    for k in range(count):
        name = names[k % len(names)]
        yield f"damage/{name}-{k}", lambda k=k, name=name: damage(folder, name, k)


def damage(folder: Path, name: str, k: int) -> str | None:
    """Change one file of a target, drawn with seed `k`, and read it back."""
    target, draw, place = TARGETS[name], random.Random(k), folder / f"damage-{k}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    target.make(place)
    results = folder / f"damage-{k}.json"
    before = forked(refused_or(lambda: _write(results, target.read(place))))
    if before.status:
        return f"the undamaged files are refused: {before.err}"
    whole = json.loads(results.read_text())
    path = draw.choice(sorted(p for p in place.rglob(target.files) if p.is_file()))
    how = change(path, draw, HOW[:-1] if target.may_go else HOW)
    ended = forked(refused_or(lambda: _write(results, target.read(place))), limit_s=60)
    fault = ended.fault(0, 1)
    if fault is None and ended.status == 0:
        found = json.loads(results.read_text())
        if not target.accepts(found, whole):
            fault = "accepted in silence"
    shutil.rmtree(place)
    results.unlink()
    return fault and f"{path.name}, {how}: {fault}"


def change(path: Path, draw: random.Random, among: Sequence[str] = HOW) -> str:
    """Damage a file in one of the ways of disks, transfers and editors; which one."""
    data = bytearray(path.read_bytes())
    at = draw.randrange(max(1, len(data)))
    how = draw.choice(among)
    if not data and how not in ("gone", "folder"):
        how = "more"
    match how:
        case "bit":
            data[at] ^= 1 << draw.randrange(8)
        case "byte":
            data[at] = (data[at] + draw.randrange(1, 256)) % 256
        case "zeros":
            data[at : at + 64] = bytes(len(data[at : at + 64]))
        case "cut":
            del data[at:]
        case "more":
            data += draw.randbytes(16)
        case "lost block":
            del data[at : at + 32]
        case "empty":
            data.clear()
        case "doubled":
            data += bytes(data)
        case _:
            path.unlink()
            if how == "folder":
                path.mkdir()
            return how
    path.write_bytes(data)
    return f"{how} at {at}"


def _write(path: Path, found: object) -> None:
    path.write_text(json.dumps(found, sort_keys=True, default=str))


def _make_run(folder: Path) -> None:
    with start_run(folder, whole_config()) as run:
        for step in range(1, 9):
            run.events.append({"phase": "coarse", "step": step, "sds": 1 / step})
            if step >= 7:
                run.save_checkpoint(step, {"x": torch.arange(64.0) * step, "step": step})


def _resume(folder: Path) -> object:
    config = started_config(folder)
    with resume_run(folder) as run:
        checkpoint = run.load_checkpoint()
        assert checkpoint is not None
        log = read_events(folder / "events.jsonl")
        return {
            "config": [config.prompt.text, config.seed, config.preset],
            "step": checkpoint.step,
            "x": checkpoint.state["x"].tolist(),
            "events": log.records,
            "told": list(checkpoint.warnings),
        }


def _resumes_right(found: object, whole: object) -> bool:
    """The settings are those of the run; an older checkpoint or a shorter log is told."""
    assert isinstance(found, dict)
    assert isinstance(whole, dict)
    step = found["step"]
    return (
        found["config"] == whole["config"]
        and step in (7, 8)
        and found["x"] == [value * step for value in range(64)]
        and found["events"] == whole["events"][: len(found["events"])]
        and (bool(found["told"]) or (step == 8 and len(found["events"]) == 8))
    )


def _make_scores(folder: Path) -> None:
    scores = EvaluationFolder(folder)
    scores.settle({"preset": "default", "prompts": [1], "commits": ["a"], "commands": ["c"]})
    for k in range(4):
        scores.append({"object": f"o{k}", "kind": "text", "mesh": "m", "judges": ["j"],
                       "figures": {"clip_r": k / 8}})  # fmt: skip


def _read_scores(folder: Path) -> object:
    scores = EvaluationFolder(folder)
    return [scores.read_json("evaluation.json"), scores.rows()]


def _scores_right(found: object, whole: object) -> bool:
    """A score that is not there is judged again; one that is there is right."""
    assert isinstance(found, list)
    assert isinstance(whole, list)
    keys = whole[1][0].keys()
    rows = [{key: row[key] for key in keys} for row in found[1]]
    settings = {k: v for k, v in (found[0] or {}).items() if k in whole[0]}
    return all(row in whole[1] for row in rows) and settings in ({}, whole[0])


def _make_bundle(folder: Path) -> None:
    parts, files = dict.fromkeys(ROLES, "bind"), {}
    (folder / "bind").mkdir()
    for name, data in (("bind/model.safetensors", bytes(range(200))), ("bind/config.json", b"{}")):
        (folder / name).write_bytes(data)
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    raw = {"format": FORMAT, "name": "tiny", "parts": parts, "image_size": {"unclip": 64},
           "embedding_norm": {"text": 11.5}, "files": files}  # fmt: skip
    (folder / "bundle.json").write_text(json.dumps(raw, indent=1))


def _read_bundle(folder: Path) -> object:
    manifest = load_manifest(folder)
    verify(manifest)
    return [manifest.digest, manifest.deciding, manifest.name]


def _bundle_right(found: object, whole: object) -> bool:
    """`bundle.json` has no hash of its own: its figures go into every run's record instead."""
    assert isinstance(found, list)
    assert isinstance(whole, list)
    return found[0] == whole[0]


def _make_engine(folder: Path) -> None:
    def make(building: Path) -> Made:
        (building / "model.onnx").write_bytes(bytes(range(256)))
        return Made(GraphSpec("ms-b3", (), ()), {"seconds": 0.5})

    EngineStore(folder).build(KEY, make)


def _read_engine(folder: Path) -> object:
    entry = EngineStore(folder).find(KEY)
    return None if entry is None else (entry.folder / "model.onnx").read_bytes().hex()


def _twice(folder: Path) -> object:
    """The kernel as a new process imports it."""
    jit.kernel_folder = lambda: folder / "kept"
    spec = importlib.util.spec_from_file_location("own", folder / "own" / "own.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["own"] = module  # numba imports it by name
    spec.loader.exec_module(module)
    return module.twice(21)


def _make_kernel(folder: Path) -> None:
    (folder / "own").mkdir()
    (folder / "own" / "own.py").write_text(KERNEL)
    forked(lambda: _twice(folder))


def _make_mesh(folder: Path) -> None:
    unwrapped = unwrap(Mesh(*sphere(1, 0.5)), 32)
    texture = bake(unwrapped, lambda x: torch.tensor([1.0, 0, 0]).expand(len(x), 3), 32)
    write_glb(folder / "mesh.glb", unwrapped, texture)


def _read_mesh(folder: Path) -> object:
    mesh = read_glb(folder / "mesh.glb")
    return [mesh.mesh.vertices.tolist(), mesh.mesh.faces.tolist(), float(mesh.texture.sum())]


TARGETS = {
    "config": Target(_make_run, "config.json", _resume, _resumes_right),
    "events": Target(_make_run, "events.jsonl", _resume, _resumes_right),
    "checkpoint": Target(_make_run, "*.pt", _resume, _resumes_right, may_go=True),
    "scores": Target(_make_scores, "*.json*", _read_scores, _scores_right),
    "bundle": Target(_make_bundle, "*.*", _read_bundle, _bundle_right),
    "engine": Target(_make_engine, "*.*", _read_engine, lambda a, b: a in (None, b)),
    "kernel": Target(_make_kernel, "*.nb?", _twice),
    "mesh": Target(_make_mesh, "mesh.glb", _read_mesh),
}
"""Name → what is damaged."""
