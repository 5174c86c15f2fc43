"""Finished runs: where they are, and what is measured of each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from xbind.conditioning.prompt import embed_images, encode_prompt
from xbind.config.options import MODALITIES, PromptConfig
from xbind.errors import XBindError
from xbind.evaluation.figures import mean_cosine
from xbind.evaluation.judges import Judge, Look, figure_of, recall_figures
from xbind.files import sha256_file
from xbind.losses.regularizers import normal_consistency_loss
from xbind.models.convnet import ConvNet
from xbind.networks.frozen import AlignedEncoder
from xbind.run.folder import read_run_config
from xbind.scene.cameras import orbit
from xbind.scene.mesh.textured import TexturedMesh, Views, read_glb

VIEWS = 120
"""Distinct azimuths, as in the paper (Sec. V-A-4)."""
ELEVATION_DEG = 15.0
"""Elevation of the views (threestudio's test views; no value in the paper)."""
MESH = "mesh.glb"


class NotJudged(XBindError):
    """A run with whose prompt nothing can be compared."""


class World(Protocol):
    """Correct answer to a run's prompt, as far as it is known."""

    @property
    def advice(self) -> str:
        """What to do about a prompt that is not in the pool."""

    def right(self, run: Path, config: Mapping[str, Any]) -> Collection[int]:
        """Numbers of the pool's prompts that are right; none if nothing is known."""

    def figures(
        self, run: Path, config: Mapping[str, Any], mesh: TexturedMesh, views: Views, look: Look
    ) -> Mapping[str, float]:
        """Figures of shape beside the ground truth; none if nothing is known."""


@dataclass(frozen=True, slots=True, eq=False)
class PoolWorld:
    """No ground truth but the words of a prompt, which the pool must hold."""

    pool: Sequence[str]
    advice: str = "Add it to the JSON list that --pool names."

    def right(self, run: Path, config: Mapping[str, Any]) -> Collection[int]:
        words = config["prompt"]["text"]
        if kind_of(config) != "text" or words not in self.pool:
            return ()
        return (self.pool.index(words),)

    def figures(
        self, run: Path, config: Mapping[str, Any], mesh: TexturedMesh, views: Views, look: Look
    ) -> Mapping[str, float]:
        return {
            "components": float(mesh.components),
            "bumps": bumps(mesh),
            "faces": float(len(mesh.mesh.faces)),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Everybody who judges a run."""

    independent: Sequence[Judge]
    """Took no part in making it."""
    own: Judge
    """The encoder that the MS loss optimises."""
    aligned: AlignedEncoder
    """Aligned encoder, for ARCC and for reading prompts."""
    view: ConvNet | None
    """The bundle's pose estimator: it frames a picture as the run did."""
    world: World
    reference_px: int
    """Side of a prompt's picture, as the run saw it."""
    view_px: int
    """Side of the judged views."""
    bundle_identity: str
    """`BundleManifest.identity` of the bundle that these are from."""

    @property
    def identity(self) -> list[str]:
        """Names and networks of the judges: by others, an object is judged again."""
        names = [judge.name for judge in (*self.independent, self.own)]
        return [*names, self.bundle_identity[:16]]


@dataclass(frozen=True, slots=True)
class FoundRuns:
    """Runs in some folders, with distinct names."""

    finished: list[Path]
    unfinished: list[Path]
    """They have no mesh: stopped, still at work, or nothing came out of them."""


def find_runs(paths: Sequence[Path]) -> FoundRuns:
    """The runs that `paths` are, or hold.

    Raises:
        XBindError: a path is no run and holds none that is finished, or two have one name.
    """
    runs: list[Path] = []
    unfinished: list[Path] = []
    for given in paths:
        path = given if given.name not in ("", "..") else given.resolve()  # runs need a name
        if not path.is_dir():
            raise XBindError(
                f"There is no folder {given}.\nGive the folder of a run, or one that holds runs."
            )
        if (path / "config.json").exists():
            if not (path / MESH).exists():
                raise XBindError(
                    f"The run in {given} is not finished: it has no {MESH}.\n"
                    f"Finish it: repeat its `xbind generate` command with --resume."
                )
            runs.append(path)
            continue
        inside = sorted(p.parent for p in path.glob("*/config.json"))
        made = [run for run in inside if (run / MESH).exists()]
        if not made:
            raise XBindError(
                f"{given} is neither a run nor a folder of finished runs.\n"
                f"Give a folder that `xbind generate` was given with --out, or one that holds such."
            )
        runs += made
        unfinished += [run for run in inside if run not in made]
    names = [run.name for run in (*runs, *unfinished)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise XBindError(
            f"Two runs are called {', '.join(sorted(twice))}.\nJudge them in two calls."
        )
    return FoundRuns(runs, unfinished)


def kind_of(config: Mapping[str, Any]) -> str:
    """The modality of a run's prompt, or `mix`."""
    given = [m for m in MODALITIES if config["prompt"].get(m)]
    return given[0] if len(given) == 1 else "mix"


def bumps(mesh: TexturedMesh) -> float:
    """100 · mean (1 − cos) of the faces' normals across an edge: what Fig. 6 calls bumps."""
    return 100 * float(normal_consistency_loss(mesh.welded()))


def mesh_digest(run: Path) -> str:
    """Start of the SHA-256 of the judged file; empty if there is none."""
    if not (run / MESH).exists():
        return ""
    return sha256_file(run / MESH)[:16]


def answers_for(run: Path, config: Mapping[str, Any], panel: Panel) -> Collection[int]:
    """Numbers of the pool's prompts that are right; none for a picture or sound of unknown content.

    Raises:
        NotJudged: nothing is known of the right answer, and no figure compares the prompt itself.
    """
    right, kind = panel.world.right(run, config), kind_of(config)
    if right or kind in ("image", "audio"):
        return right
    if kind == "text":
        raise NotJudged(
            f"its prompt, {config['prompt']['text']!r}, is not in the pool of "
            f"{len(panel.own.pool)} prompts. {panel.world.advice}"
        )
    article = "an" if kind == "imu" else "a"
    raise NotJudged(f"no figure compares {article} {kind} prompt with a mesh")


def judge_run(run: Path, panel: Panel, *, failure: str | None = None) -> dict[str, Any]:
    """Judge one run: a line of `scores.jsonl`.

    Args:
        run: its folder.
        panel: the judges.
        failure: why nothing came out of it; then the judges see the empty picture that it is, no
            view is right, and there are no figures of shape.

    Raises:
        NotJudged: nothing can be compared with its prompt.
        XBindError: its mesh, or a file of its prompt, cannot be read.
    """
    config = read_run_config(run)
    right = answers_for(run, config, panel)
    kind, mesh = kind_of(config), read_glb(run / MESH) if failure is None else None
    if mesh is None:
        views = _nothing(panel.view_px)
    else:
        views = mesh.views(orbit(VIEWS, elevation_deg=ELEVATION_DEG), panel.view_px)
    looks = {judge.name: judge.look(views.image) for judge in (*panel.independent, panel.own)}
    figures: dict[str, float] = {}
    for judge in (*panel.independent, panel.own):
        if right:
            figures |= recall_figures(judge, looks[judge.name], right, seen=mesh is not None)
    if kind in ("image", "audio"):
        figures |= _likeness(config, kind, panel, looks, views)
    first = looks[panel.independent[0].name]
    if mesh is not None:
        figures |= panel.world.figures(run, config, mesh, views, first)
    return {
        "object": run.name,
        "kind": kind,
        "mesh": mesh_digest(run),
        "judges": panel.identity,
        "figures": figures,
        "failure": failure,
    }


def _nothing(size: int) -> Views:
    image = torch.ones(VIEWS, 3, size, size)
    return Views(image, torch.zeros(VIEWS, size, size, dtype=torch.bool))


def _likeness(
    config: Mapping[str, Any], kind: str, panel: Panel, looks: Mapping[str, Look], views: Views
) -> dict[str, float]:
    """CLIP-I of a picture, ARCC (Eq. 14) of a sound."""
    file = Path(config["prompt"][kind])
    given = PromptConfig(image=file) if kind == "image" else PromptConfig(audio=file)
    with torch.inference_mode():
        prompt = encode_prompt(given, panel.aligned, panel.reference_px, view=panel.view)
        if kind == "audio":
            embedded = embed_images(views.image, panel.aligned)
            return {"arcc_self": mean_cosine(embedded, prompt.c_m)}
    assert prompt.image is not None
    picture = _sized(prompt.image.rgb[None], panel.view_px)
    figures = {}
    for judge in (*panel.independent, panel.own):
        reference = judge.look(picture).features[0]
        figures[figure_of("clip_i", judge)] = mean_cosine(looks[judge.name].features, reference)
    return figures


def _sized(image: Float[Tensor, "1 3 s s"], size: int) -> Float[Tensor, "1 3 t t"]:
    if image.shape[-1] == size:
        return image
    return interpolate(image, (size, size), mode="bilinear", antialias=True)
