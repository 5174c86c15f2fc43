"""What a run needs of a GPU's memory, part by part, and how to run so that it fits.

Counted from shapes: neither weights nor a GPU are needed. What is assumed is written in
docs/guide/gpu.md, beside how far the counts are from what was measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Generator
from torch._subclasses.fake_tensor import FakeTensorMode

from xbind.config.options import Precision
from xbind.config.presets import CoarseConfig, GeometryConfig, MethodConfig, TextureConfig
from xbind.config.savings import Savings, ladder
from xbind.diffusion.estimator import Estimator
from xbind.errors import XBindError
from xbind.export.footprint import Footprint, footprint
from xbind.export.onnx_graph import lower
from xbind.export.record import record
from xbind.memory.scene import SceneBytes, scene_bytes
from xbind.networks.build import dialect_of
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import (
    GraphRequest,
    graphs_of_part,
    make_module,
    output_names,
    requests_of_parts,
    sample_inputs,
)
from xbind.networks.load import load_shapes
from xbind.networks.manifest import BundleManifest
from xbind.networks.precision import dtype_of, in_precision

GIB = 2**30
RUNTIME_BYTES = 3 * GIB // 4
"""Memory in use before anything is loaded: CUDA context, libraries, fragments of the allocator.
Assumed; not measured by this project."""


class DoesNotFit(XBindError):
    """No way to run needs as little memory as there is."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Memory budget of a run."""

    gib: float | None
    """Memory, in GiB; None plans a run without savings, whatever it takes."""
    precision: Precision = "float32"
    """Of the networks, before anything is saved."""
    engines: bool = True
    """True for engines, False for eager torch with one float32 copy of the bundle."""


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """A graph of a part, and what it needs."""

    request: GraphRequest
    needs: Footprint


@dataclass(frozen=True, slots=True)
class PartPlan:
    """What one part of a run needs at its worst moment."""

    name: str
    """One of `PARTS`."""
    savings: Savings
    graphs: tuple[GraphPlan, ...]
    scene: SceneBytes
    shared_weights: int | None
    """Bytes of the whole bundle, where all graphs share it (eager torch); None with engines."""

    @property
    def weights(self) -> int:
        """Loaded at once."""
        each = [graph.needs.weights for graph in self.graphs]
        if self.shared_weights is not None:
            return self.shared_weights
        return max(each) if self.savings.one_engine else sum(each)

    @property
    def widest(self) -> GraphPlan:
        """The graph that needs most while it runs; graphs run one after the other."""
        return max(self.graphs, key=lambda graph: graph.needs.running)

    @property
    def peak(self) -> int:
        """Everything together."""
        scene = self.scene.state + self.scene.buffers
        return RUNTIME_BYTES + self.weights + self.widest.needs.running + scene


@dataclass(frozen=True, slots=True)
class Plan:
    """All parts of a run; each unloads its networks before the next begins."""

    parts: tuple[PartPlan, ...]
    wish: Wish

    @property
    def worst(self) -> PartPlan:
        """The part with the highest peak."""
        return max(self.parts, key=lambda part: part.peak)

    def summary(self) -> Iterator[str]:
        """Lines that say what each part saves and needs."""
        for part in self.parts:
            saved = ", ".join(part.savings.described()) or "nothing saved"
            yield f"{part.name}: {part.peak / GIB:.1f} GiB ({saved})"


class Counter:
    """Counts graphs of a bundle, each once."""

    def __init__(self, manifest: BundleManifest) -> None:
        """Only configurations are read of the bundle."""
        self.manifest = manifest
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._bundles: dict[Precision, Bundle] = {}
        self._counted: dict[tuple[GraphRequest, Precision], Footprint] = {}

    def count(self, request: GraphRequest, precision: Precision) -> Footprint:
        """Returns the memory of a graph in an engine."""
        key = (request, precision)
        if key not in self._counted:
            bundle = self._bundle(precision)
            module = make_module(bundle, request.name, two_passes=request.two_passes)
            with self._mode:
                feeds = sample_inputs(bundle, request, 0.5, Generator().manual_seed(0))
            names = output_names(request.name, module)
            recording = record(module, feeds, names, shapes=self._mode)
            upcast = any(vars(m).get("upcast_attention", False) for m in module.modules())
            dialect = dialect_of("tensorrt-rtx", precision)
            graph = lower(request.label, recording, dialect, upcast_attention=upcast)
            self._counted[key] = footprint(graph)
        return self._counted[key]

    @property
    def bundle_bytes(self) -> int:
        """All networks in float32."""
        b = self._bundle("float32")
        nets = (
            b.unclip.unet, b.unclip.vae, b.zero123.unet, b.zero123.vae, b.zero123.image_encoder,
            b.clip, b.bind.model, *(() if b.taesd is None else (b.taesd,)),
        )  # fmt: skip
        parameters = {id(p): p for net in nets for p in net.parameters()}
        return sum(4 * p.numel() for p in parameters.values())

    def estimator_bytes(self, rank: int) -> int:
        """Memory of a VSD estimator's θ in a phase: itself, its gradient and Adam's two moments."""
        unclip = self._bundle("float32").unclip
        return 16 * Estimator(unclip.unet, cross_attention=unclip.reads_text).size(rank)

    def _bundle(self, precision: Precision) -> Bundle:
        if precision not in self._bundles:
            bundle = load_shapes(self.manifest, self._mode, dtype_of(precision))
            self._bundles[precision] = in_precision(bundle, precision)
        return self._bundles[precision]


def fit(method: MethodConfig, manifest: BundleManifest, wish: Wish) -> Plan:
    """Returns the savings of each stage: the first rung of `ladder` that fits.

    Raises:
        DoesNotFit: a part does not fit with every saving; the message says what it needs.
    """
    counter = Counter(manifest)
    scene = _scene(method, counter)
    parts = []
    for name, used in requests_of_parts(method, manifest).items():
        if not used:  # a preset may leave out a phase, or the reference view
            continue
        rungs = ladder(wish.precision, engines=wish.engines)
        for savings in rungs if wish.gib is not None else rungs[:1]:
            part = _plan_part(counter, method, name, savings, scene[name], wish)
            if wish.gib is None or part.peak <= wish.gib * GIB:
                break
        else:
            raise DoesNotFit(_refusal(part, wish.gib or 0.0))
        parts.append(part)
    return Plan(tuple(parts), wish)


def _scene(method: MethodConfig, counter: Counter) -> dict[str, SceneBytes]:
    """`scene_bytes`, with the estimators of phases whose loss of the 2D prior is VSD."""
    scenes = scene_bytes(method)
    phases: dict[str, CoarseConfig | GeometryConfig | TextureConfig] = {
        "coarse": method.coarse, "geometry": method.geometry, "texture": method.texture,
    }  # fmt: skip
    for name, phase in phases.items():
        if phase.steps > 0 and phase.planar == "vsd":
            own = counter.estimator_bytes(phase.guidance.estimator.rank)
            scenes[name] = replace(scenes[name], state=scenes[name].state + own)
    return scenes


def _plan_part(
    counter: Counter, method: MethodConfig, name: str, savings: Savings, scene: SceneBytes,
    wish: Wish,
) -> PartPlan:  # fmt: skip
    graphs = [
        GraphPlan(request, counter.count(request, savings.precision))
        for request in graphs_of_part(method, counter.manifest, name, savings)
    ]
    shared = None if wish.engines else counter.bundle_bytes
    return PartPlan(name, savings, tuple(graphs), scene, shared)


def _refusal(part: PartPlan, gib: float) -> str:
    scene = part.scene.state + part.scene.buffers
    widest = part.widest
    lacking = part.peak / GIB
    return (
        f"--vram {gib:g} is too little: {part.name} needs {lacking:.1f} GiB with every saving "
        f"({', '.join(part.savings.described())}).\n"
        f"  weights      {part.weights / GIB:6.2f} GiB\n"
        f"  activations  {widest.needs.activations / GIB:6.2f} GiB, in {widest.request.label}\n"
        f"  workspace    {widest.needs.workspace / GIB:6.2f} GiB\n"
        f"  scene        {scene / GIB:6.2f} GiB\n"
        f"  runtime      {RUNTIME_BYTES / GIB:6.2f} GiB\n"
        f"Give --vram {_next_half(lacking):g} or more, or a --preset with smaller views or a "
        f"coarser grid."
    )


def _next_half(gib: float) -> float:
    """The next half GiB above."""
    return (int(2 * gib) + 1) / 2
