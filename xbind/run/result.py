"""A run as a Python object: its mesh, views, losses and files."""

import base64
import html
import shutil
import weakref
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xbind.config.export import ExportError, metres
from xbind.config.options import MODALITIES
from xbind.config.scene import TurntableConfig
from xbind.files import disk_errors
from xbind.run.checks import RunError, read_run_config
from xbind.run.inputs import FilePath

if TYPE_CHECKING:
    import numpy as np
    import trimesh
    from numpy.typing import NDArray
    from PIL import Image

    from xbind.config.options import Material

MESH = "mesh.glb"
_SHOWN = (("turntable.gif", "gif"), ("reference.png", "png"))
"""Pictures of a run in a notebook; the first that exists is shown."""


class Curve(NamedTuple):
    """A loss term over the steps of a stage, before its weight."""

    steps: "NDArray[np.int64]"
    """Steps [n] at which the term was computed, from 1."""
    values: "NDArray[np.float64]"
    """Its values [n]."""


class Run:
    """A run in a folder, finished or not. Files are read when they are asked for.

    Made by `xbind.generate`, by a `Pipeline`, or by `xbind.open`.
    """

    def __init__(
        self, folder: Path, messages: tuple[str, ...] = (), *, temporary: bool = False
    ) -> None:
        """Open the run in a folder.

        Args:
            folder: of the run.
            messages: what the run reported, such as warnings about its prompt.
            temporary: remove the folder when this object is gone, or Python ends.

        Raises:
            RunError: the folder holds no run, or its `config.json` is damaged.
        """
        self.folder = folder
        """Folder of the run."""
        self.config: Mapping[str, Any] = read_run_config(folder)
        """Content of `config.json`: every setting that decides the result."""
        self.messages = messages
        """Messages of the run; empty for a run that was opened."""
        if temporary:
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    @property
    def finished(self) -> bool:
        """True if the run has its mesh."""
        return (self.folder / MESH).is_file()

    @property
    def prompt(self) -> str:
        """The prompt on one line: `text: something blue + audio: bell.wav`."""
        given = self.config["prompt"]
        return " + ".join(
            f"{m}: {given[m] if m == 'text' else Path(given[m]).name}"
            for m in MODALITIES
            if given.get(m)
        )

    @cached_property
    def mesh(self) -> "trimesh.Trimesh":
        """The mesh with its texture as a `trimesh.Trimesh`: y-up, front towards +z, in metres.

        Raises:
            RunError: the run has no mesh yet.
            UnreadableMesh: the file is damaged.
        """
        import trimesh

        from xbind.scene.mesh.textured import read_glb

        path = self._finished_mesh()
        read_glb(path)  # refuses a damaged file with a message
        loaded: trimesh.Trimesh = trimesh.load(path, force="mesh", process=False)
        return loaded

    def views(
        self,
        count: int = 8,
        *,
        size: int = 256,
        elevation_deg: float = TurntableConfig().elevation_deg,
        distance: float = TurntableConfig().distance,
        fov_y_deg: float = TurntableConfig().fov_y_deg,
    ) -> "list[Image.Image]":
        """Renders the textured mesh from cameras at equal steps around it, on white.

        Args:
            count: number of views; the first shows the front, azimuths grow counterclockwise seen
                from above.
            size: side of each picture, in pixels.
            elevation_deg: of the cameras, in degrees.
            distance: of the cameras from the centre, in scene units.
            fov_y_deg: vertical field of view, in degrees.

        Returns:
            RGB images.

        Raises:
            RunError: the run has no mesh yet.
            UnreadableMesh: the file is damaged.
            ValueError: `count` or `size` is below 1.
        """
        import torch
        from PIL import Image

        from xbind.scene.cameras import orbit
        from xbind.scene.mesh.textured import read_glb
        from xbind.scene.mesh.turntable import to_frames

        if count < 1 or size < 1:
            raise ValueError(f"count and size must be at least 1, got {count} and {size}")
        mesh = read_glb(self._finished_mesh())
        cameras = orbit(
            count, elevation_deg=elevation_deg, distance=distance, fov_y_deg=fov_y_deg
        )  # fmt: skip
        with torch.no_grad():  # one view at a time, to save memory
            frames = [
                to_frames(mesh.views(cameras.at(slice(k, k + 1)), size).image)[0]
                for k in range(count)
            ]
        return [Image.fromarray(frame.numpy()) for frame in frames]

    @property
    def reference(self) -> "Image.Image | None":
        """The reference view x_r as an RGB image; None for a run without one."""
        from PIL import Image

        path = self.folder / "reference.png"
        if not path.is_file():
            return None
        with disk_errors(path), Image.open(path) as image:
            return image.convert("RGB")

    @property
    def losses(self) -> dict[str, dict[str, Curve]]:
        """Stage (`coarse`, `geometry`, `texture`) → loss term → its curve.

        Raises:
            XBindError: `events.jsonl` is damaged.
        """
        import numpy as np

        from xbind.run.events import read_events

        path = self.folder / "events.jsonl"
        found: dict[str, dict[str, list[tuple[int, float]]]] = {}
        for event in read_events(path).records if path.is_file() else ():
            terms = found.setdefault(event["phase"], {})
            for name, value in event.items():
                if name not in ("phase", "step"):  # "nan" and "inf" are written as text
                    terms.setdefault(name, []).append((event["step"], float(value)))
        return {
            stage: {
                name: Curve(
                    np.array([step for step, _ in points], np.int64),
                    np.array([value for _, value in points], np.float64),
                )
                for name, points in terms.items()
            }
            for stage, terms in found.items()
        }

    def export(
        self,
        target: FilePath,
        *,
        faces: int | None = None,
        height: float | str | None = None,
        texture: int | None = None,
        material: "Material | None" = None,
        overwrite: bool = False,
    ) -> Path:
        """Writes the mesh in a format named by the ending: GLB, OBJ, PLY, STL, 3MF or USDZ.

        STL and 3MF are closed solids in millimetres, z-up; the others are y-up, in metres. What is
        not given stays as it is in the run.

        Args:
            target: the file; folders on the way are made.
            faces: largest number of triangles.
            height: of the object, in metres, or with a unit, such as `"80mm"`.
            texture: side of the texture in pixels.
            material: `unlit` or `lit`, for GLB, OBJ and USDZ.
            overwrite: replace files that are there.

        Returns:
            The file.

        Raises:
            ExportError: unknown format, or one that cannot hold this; or the file is there.
            RunError: the run has no mesh yet.
            MeshFileError: the mesh is not closed, for STL and 3MF.
            DiskError: the file cannot be written.
        """
        from xbind.run.export import export

        self._finished_mesh()
        try:
            length = metres(height) if isinstance(height, str) else height
        except ValueError as error:
            raise ExportError(f"height {height!r}: {error}") from error
        return export(
            self.folder, Path(target), faces=faces, height=length, texture=texture,
            material=material, overwrite=overwrite,
        ).files[0]  # fmt: skip

    def save(self, folder: FilePath) -> "Run":
        """Copies the run to a folder that stays, such as one of a temporary run.

        Args:
            folder: must not exist, or be empty.

        Returns:
            The run in its new folder.

        Raises:
            RunError: the folder holds something.
            DiskError: it cannot be written.
        """
        target = Path(folder)
        with disk_errors(target):
            if target.exists() and (not target.is_dir() or any(target.iterdir())):
                raise RunError(f"{target} is there already.\nGive another folder.")
            shutil.copytree(
                self.folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lock")
            )
        return Run(target, self.messages)

    def __repr__(self) -> str:
        state = "" if self.finished else ", not finished"
        return f"Run({str(self.folder)!r}, {self.prompt!r}, seed {self.config['seed']}{state})"

    def _repr_html_(self) -> str:
        """The turntable with the prompt below it, for notebooks: one element, no other file."""
        caption = html.escape(f"{self.prompt} · seed {self.config['seed']} · {self.folder}")
        for name, kind in _SHOWN:
            path = self.folder / name
            if path.is_file():
                data = base64.b64encode(path.read_bytes()).decode()
                image = f'<img alt="{caption}" src="data:image/{kind};base64,{data}">'
                return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
        return f"<p>{caption}</p>"

    def _finished_mesh(self) -> Path:
        path = self.folder / MESH
        if not path.is_file():
            raise RunError(
                f"The run in {self.folder} has no {MESH}: it is not finished.\n"
                f"Finish it: xbind generate --resume --out {self.folder}, or xbind.resume(...)."
            )
        return path
