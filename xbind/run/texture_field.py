"""The colours of a finished run before they were baked into a texture."""

from pathlib import Path
from typing import Any

import torch

from xbind.config.scene import FieldConfig
from xbind.run.checkpoints import load_newest_checkpoint
from xbind.run.checks import RunError, read_run_config
from xbind.scene.mesh.files import ColourField
from xbind.scene.nerf.field import HashField


def read_texture_field(run: Path) -> ColourField | None:
    """Returns the colour field of Phase III from the last checkpoint, on the CPU.

    Returns:
        Colours in [0, 1] at positions near the surface, in the scene's frame. None where the run
        keeps no such field: its checkpoints were removed, or its method has no Phase III.

    Raises:
        RunError: `config.json` or the field in the checkpoint is damaged.
    """
    config = read_run_config(run)
    if not any((run / "checkpoints").glob("*.pt")):
        return None
    record = load_newest_checkpoint(run).state
    try:
        state = record["phases"].get("texture")
        if state is None:
            return None
        field = HashField(_field_config(config), generator=torch.Generator())
        field.load_state_dict(state["module"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(
            f"The texture field in {run / 'checkpoints'} does not fit {run / 'config.json'} "
            f"({error}).\nMove the folder checkpoints away to export from the texture of mesh.glb."
        ) from error
    return lambda points: field(points)[1]


def _field_config(config: dict[str, Any]) -> FieldConfig:
    numbers: dict[str, Any] = config["method"]["texture"]["field"]
    return FieldConfig(**numbers | {"resolutions": tuple(numbers["resolutions"])})
