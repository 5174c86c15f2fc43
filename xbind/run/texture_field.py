"""The colours of a finished run before they were baked into a texture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from xbind.algorithm.surface_start import part_of_state
from xbind.config.scene import FieldConfig
from xbind.config.terms import PbrConfig
from xbind.run.checkpoints import load_newest_checkpoint
from xbind.run.checks import RunError, read_run_config
from xbind.scene.appearance import Appearance
from xbind.scene.light import Light
from xbind.scene.materials import MaterialField
from xbind.scene.nerf.field import HashField


def read_texture_field(run: Path) -> Appearance | None:
    """Returns the colours of the last surface stage that trained them, on the CPU.

    Returns:
        Appearance at positions near the surface, in the scene's frame. None where the run keeps no
        such field: its checkpoints were removed, or its method trains no colours on a surface.

    Raises:
        RunError: `config.json` or the field in the checkpoint is damaged.
    """
    config = read_run_config(run)
    if not any((run / "checkpoints").glob("*.pt")):
        return None
    record = load_newest_checkpoint(run).state
    try:
        phases = record["phases"]
        has_colours = config["method"]["geometry"].get("colour", False)
        state = phases.get("texture") or (phases.get("geometry") if has_colours else None)
        if state is None:
            return None
        return _appearance(config, part_of_state(state["module"], "field"))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(
            f"The texture field in {run / 'checkpoints'} does not fit {run / 'config.json'} "
            f"({error}).\nMove the folder checkpoints away to export from the texture of mesh.glb."
        ) from error


def _appearance(config: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> Appearance:
    stage: Mapping[str, Any] = config["method"]["texture"]
    light = Light.from_plain(config["light"]) if "light" in config else None
    if stage.get("material") == "pbr":
        ranges = PbrConfig(**_with_tuples(stage.get("pbr", {})))
        material = MaterialField(_field_config(stage), ranges, generator=torch.Generator())
        material.load_state_dict(weights)
        return Appearance.of_material(material, light)
    field = HashField(_field_config(stage), generator=torch.Generator())
    field.load_state_dict(weights)
    is_lit = stage.get("shading", {}).get("light") == "bundle"
    return Appearance(lambda points: field(points)[1], light if is_lit else None)


def _field_config(stage: Mapping[str, Any]) -> FieldConfig:
    return FieldConfig(**_with_tuples(stage["field"]))


def _with_tuples(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of a configuration, whose tuples JSON has made lists."""
    return {k: tuple(x) if isinstance(x, list) else x for k, x in numbers.items()}
