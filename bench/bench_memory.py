"""Predictions of `xbind plan` against measured peak memory of graphs and rendering, on this CPU.

    python -P bench/bench_memory.py [--only graphs|scene] [--json FILE]

Each graph runs in a process of its own: eager in torch, and in ONNX Runtime without its arena,
which would round up. The peak is that of the process's resident memory over what it had before.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import onnxruntime
import torch
from torch import Tensor

from xbind.algorithm.iteration import Phase, advance
from xbind.algorithm.phase1_nerf import CoarsePhase
from xbind.algorithm.reference_view import ReferenceView
from xbind.algorithm.supervision import Supervision
from xbind.algorithm.surface_phase import geometry_phase, texture_phase
from xbind.algorithm.surface_start import convert
from xbind.config.presets import CoarseConfig, GeometryConfig, MethodConfig, TextureConfig
from xbind.config.terms import EstimatorConfig
from xbind.export.footprint import footprint
from xbind.export.onnx_graph import MODEL, Graph, save
from xbind.importing.architectures import reduced, sd21
from xbind.importing.random_weights import make_random_bundle
from xbind.memory.scene import scene_bytes
from xbind.networks.build import export
from xbind.networks.graphs import GraphRequest, make_module, sample_inputs
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.scene.cameras import orbit
from xbind.scene.nerf.field import HashField

MIB = 2**20
CASES = [
    ("mini", "unet2d", 48, 0), ("mini", "vae_decode", 48, 0), ("mini", "vae_encode", 48, 64),
    ("mini", "sds2d_img", 32, 64), ("mini", "sds3d", 32, 64), ("mini", "cds2d", 32, 64),
    ("mini", "vsd2d", 32, 64), ("large", "vsd2d", 1, 512),
    ("mini", "ms", 96, 64), ("large", "sds2d_img", 1, 512), ("large", "sds3d", 1, 256),
    ("large", "cds2d", 1, 512), ("large", "ms", 9, 224), ("large", "unet2d", 2, 0),
    ("large", "vae_decode", 1, 0),
]  # fmt: skip
"""`large` has the public networks' depth and picture sizes, and a tenth of their width."""
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""glibc then gives freed memory back at once, instead of keeping holes that count as used."""
RUNTIMES = ("torch", "onnxruntime")


def main() -> None:
    """Run what is asked for and print one line for each measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=["graphs", "scene"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        folder, runtime, name, batch, size = arguments.case
        print(json.dumps(measure_graph(folder, runtime, name, int(batch), int(size))))
        return
    rows: list[dict[str, object]] = []
    for row in _rows(arguments.only):
        rows.append(row)
        print("  ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{v}" for k, v in row.items()))
    if arguments.json:
        arguments.json.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _rows(only: str | None) -> Iterator[dict[str, object]]:
    if only != "scene":
        with tempfile.TemporaryDirectory() as folder:
            large = Path(folder) / "large"
            make_large(large)
            for bundle, name, batch, size in CASES:
                place = str(large) if bundle == "large" else bundle
                for runtime in RUNTIMES:
                    command = [sys.executable, "-P", __file__, "--case", place, runtime, name]
                    done = subprocess.run(
                        [*command, str(batch), str(size)], check=True, stdout=subprocess.PIPE,
                        env=os.environ | GIVE_BACK,
                    )  # fmt: skip
                    yield {"bundle": bundle, **json.loads(done.stdout)}
    if only != "graphs":
        yield from scene_rows()


def make_large(folder: Path) -> None:
    """A random bundle of the public networks' depth and picture sizes, a tenth as wide."""
    full, small = sd21(), reduced()
    trunks = {n: replace(t, input_size=full.bind.trunks[n].input_size)
              for n, t in small.bind.trunks.items()}  # fmt: skip
    architecture = replace(
        small,
        image_size=full.image_size,
        unet2d={**small.unet2d, "sample_size": full.unet2d["sample_size"]},
        unet3d={**small.unet3d, "sample_size": full.unet3d["sample_size"]},
        clip={**small.clip, "image_size": 224},
        image_encoder={**small.image_encoder, "image_size": 224},
        bind=replace(small.bind, trunks=trunks),
    )
    make_random_bundle(folder, architecture, 0, lambda line: None)


def _request(name: str, batch: int, size: int) -> GraphRequest:
    rank = EstimatorConfig().rank if name == "vsd2d" else 0
    return GraphRequest(name, batch, size, rank=rank)


def measure_graph(
    bundle_name: str, runtime: str, name: str, batch: int, size: int
) -> dict[str, object]:
    """Predicted and measured bytes of one graph in one runtime."""
    torch.set_num_threads(1)
    bundle, request = load_bundle(load_manifest(bundle_name)), _request(name, batch, size)
    feeds = sample_inputs(bundle, request, 0.5, torch.Generator().manual_seed(0))
    graph = export(bundle, request)
    needs = footprint(graph)
    if runtime == "torch":
        module = make_module(bundle, name)
        with torch.no_grad():
            measured = peak_of(lambda: module(**feeds))
    else:
        measured = _measure_onnxruntime(graph, feeds)
    return {
        "graph": request.label, "runtime": runtime, "predicted MiB": needs.running / MIB,
        "measured MiB": measured / MIB, "predicted / measured": needs.running / measured,
    }  # fmt: skip


def _measure_onnxruntime(graph: Graph, feeds: dict[str, Tensor]) -> int:
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        save(graph, Path(folder))
        session = onnxruntime.InferenceSession(str(Path(folder) / MODEL), options)
    arrays = {name: x.numpy() for name, x in feeds.items()}
    return peak_of(lambda: session.run(None, arrays))


def peak_of(call: Callable[[], object]) -> int:
    """Bytes of resident memory that a call needs over what was there before.

    It is called once without measuring: what it loads and caches on first use is not activations.
    """
    call()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest value so far
    before = _status("VmRSS")
    kept = call()
    peak = _status("VmHWM")
    del kept
    return peak - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (x for x in lines if x.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])


def scene_rows() -> Iterator[dict[str, object]]:
    """Bytes of each phase's rendering and optimisation at two sizes."""
    torch.set_num_threads(1)
    for scale in (1, 2):
        method = MethodConfig(
            coarse=CoarseConfig(size=96 * scale, ray_step=0.0135),
            geometry=GeometryConfig(size=256 * scale, resolution=32 * scale),
            texture=TextureConfig(size=256 * scale),
        )
        predicted = scene_bytes(method)
        for name, phase in _phases(method):
            generator = torch.Generator().manual_seed(0)
            measured = peak_of(lambda: advance(phase, 0, generator))  # noqa: B023
            buffers = predicted[name].buffers
            yield {
                "phase": name, "scale": scale, "predicted MiB": buffers / MIB,
                "measured MiB": measured / MIB, "predicted / measured": buffers / measured,
            }  # fmt: skip


def _phases(method: MethodConfig) -> Iterator[tuple[str, Phase]]:
    """The three phases, supervised by means of their pictures: no network runs."""
    blind = cast(Supervision, _Blind())
    nerf = HashField(method.coarse.field, generator=torch.Generator().manual_seed(0))
    coarse = CoarsePhase(method.coarse, blind, nerf)
    yield "coarse", coarse
    dmtet = convert(
        coarse.field, method.coarse.threshold, method.geometry.resolution,
        method.geometry.conversion,
    )  # fmt: skip
    geometry = geometry_phase(method.geometry, blind, dmtet)
    yield "geometry", geometry
    field = HashField(method.texture.field, generator=torch.Generator().manual_seed(1))
    yield "texture", texture_phase(method.texture, blind, geometry.result(), field)


class _Blind:
    """Supervision without networks: as much memory of the scene, none of theirs."""

    def __init__(self) -> None:
        import torch

        image, mask = torch.ones(1, 3, 64, 64), torch.ones(1, 1, 64, 64)
        reference = ReferenceView(image, mask, orbit(1))
        self.condition = type("Condition", (), {"reference": reference})()

    def __getattr__(self, name: str) -> Callable[..., object]:
        return lambda _config, image, *_arguments: image.square().mean()


if __name__ == "__main__":
    main()
