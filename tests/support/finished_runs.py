"""Folders like those of finished runs, made in a second without a network."""

import json
from dataclasses import asdict, replace

import torch

from tests.support.spheres import sphere
from xbind.config.options import FilesConfig, PromptConfig
from xbind.config.presets import preset_named
from xbind.config.scene import FieldConfig
from xbind.config.terms import PbrConfig
from xbind.run.folder import start_run
from xbind.run.outputs import write_outputs
from xbind.scene.appearance import Appearance
from xbind.scene.light import Light
from xbind.scene.materials import MaterialField
from xbind.scene.mesh.baking import bake, unwrap
from xbind.scene.mesh.files import FileInfo, write_glb, write_obj
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import place
from xbind.scene.nerf.field import HashField

ABOUT = {"prompt": {"text": "a <red> & \u201cround\u201d mug"}, "seed": 7, "bundle": "mini"}
FIELD = FieldConfig(resolutions=(4, 8), log2_entries=8, hidden=8)


def ball(detail=4):
    """An egg off the centre, 8 · 4ⁿ faces; as wide as 0.6, as deep as 0.8, as high as 1.0."""
    vertices, faces = sphere(detail, 1.0)
    vertices = vertices * torch.tensor([0.4, 0.3, 0.5]) + torch.tensor([0.1, -0.05, 0.2])
    return Mesh(vertices, faces)


def gradient(points):
    """A colour that differs everywhere on the egg."""
    return 0.5 + 0.7 * (points - torch.tensor([0.1, -0.05, 0.2]))


def write_mesh(
    path, mesh=None, *, colour_at=gradient, size=128, material="unlit", pivot="base", height=None
):
    """A GLB, as a run writes it."""
    mesh = mesh or ball()
    unwrapped = unwrap(mesh, size)
    texture = bake(unwrapped, colour_at, size)
    info = FileInfo(material, place(unwrapped.vertices, pivot, height), ABOUT)
    write_glb(path, unwrapped, texture, info)
    write_obj(path.parent, unwrapped, texture, info)
    return path


LIGHT = Light((0.6, 0.0, 0.8), ambient=0.3, wrap=0.5)
"""A light that some runs know."""


def write_lit_run(folder, *, material="unlit", with_field=True, pbr=False):
    """A finished run whose colours are an albedo, or a material, under `LIGHT`."""
    method = config()["method"]
    method["texture"] |= {"shading": {"light": "bundle"}} | ({"material": "pbr"} if pbr else {})
    settings = config(method=method, light=LIGHT.plain(), files={"material": material})
    field, _ = field_colours()
    appearance = Appearance(lambda x: field(x)[1].detach(), LIGHT)
    if pbr:
        field = MaterialField(FIELD, PbrConfig(), generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            field.table.mul_(30_000)
        appearance = Appearance.of_material(field, LIGHT)
    with start_run(folder, settings) as run:
        if with_field:
            run.save_checkpoint(360, {"phases": {"texture": {"module": field.state_dict()}}})
    preset = preset_named("smoke")
    method = replace(preset, texture=replace(preset.texture, texture_px=128), turntable_frames=1)
    write_outputs(folder, ball(), appearance, method, FilesConfig(material=material), ABOUT)
    return folder, appearance


def config(**changes):
    """What `config.json` of a run holds."""
    method = json.loads(json.dumps(asdict(preset_named("default"))))
    method["texture"]["field"] = json.loads(json.dumps(asdict(FIELD)))
    return {
        "prompt": asdict(PromptConfig(text="a mug")), "seed": 7, "preset": "default",
        "without": [], "bundle": "mini",
        "bundle_sha256": "f00", "device": "cpu", "engine": "eager", "precision": "float32",
        "files": {"material": "unlit"}, "method": method,
    } | changes  # fmt: skip


def field_colours():
    """A texture field with some pattern, and its colours."""
    field = HashField(FIELD, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        field.table.mul_(3000)  # starts all but constant
    return field, lambda points: field(points)[1].detach()


def write_run(folder, *, with_field=True, **changes):
    """A finished run: config.json, checkpoint, mesh.glb with mesh.obj."""
    field, colours = field_colours()
    with start_run(folder, config(**changes)) as run:
        if with_field:
            run.save_checkpoint(360, {"phases": {"texture": {"module": field.state_dict()}}})
    write_mesh(folder / "mesh.glb", colour_at=colours)
    return folder
