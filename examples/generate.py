"""Make objects from prompts with the library.

    python examples/generate.py "a red mug" --out out/mug

Loads the bundle once, makes the object, and writes an STL file, a sheet of views and the loss
curves beside the run.
"""

from pathlib import Path

import tyro
from PIL import Image

import xbind


def main(text: str = "a red mug", *, out: Path, preset: str = "default", seed: int = 0) -> None:
    """Make one object.

    Args:
        text: what to make.
        out: folder of the run.
        preset: numbers of the method.
        seed: of every random draw.
    """
    steps = []
    with xbind.load("mini") as pipe:
        run = pipe(text, seed=seed, preset=preset, out=out, on_step=steps.append, progress=False)
    print(f"{run}: {len(steps)} steps, {len(run.mesh.faces)} faces")

    print("wrote", run.export(out / "object.stl", overwrite=True))
    views = run.views(4, size=128)
    sheet = Image.new("RGB", (128 * len(views), 128))
    for k, view in enumerate(views):
        sheet.paste(view, (128 * k, 0))
    sheet.save(out / "views.png")

    for stage, terms in run.losses.items():
        for name, curve in terms.items():
            print(f"{stage:<9} {name:<8} {curve.values[0]:10.4g} → {curve.values[-1]:.4g}")


if __name__ == "__main__":
    tyro.cli(main)
