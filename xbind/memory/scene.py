"""Memory of the differentiable half of a run: what is optimised, and what rendering keeps.

State is exact. Buffers are counts (samples on rays, tetrahedra, pixels, faces) times the bytes that
one of them costs in a forward and backward pass; `bench/bench_memory.py` measures these.
"""

import math
from dataclasses import dataclass

from xbind.config.presets import (
    CoarseConfig,
    FieldConfig,
    GeometryConfig,
    GuidanceConfig,
    MethodConfig,
    TextureConfig,
)

SAMPLE_BYTES = 200
"""Bytes per sample on a ray with the field of `default`: position, features, hidden layer, outputs,
gradients."""
NUMBER_BYTES = 5.2
"""For each number more that a larger field keeps of a sample: features and hidden layers. Measured
on a CPU between the fields of `default` and `paper`: 1 267 bytes for 244 numbers."""
PIXEL_BYTES = 260
"""Bytes per pixel of a rasterised view: triangle, position, layers around antialiasing."""
TET_BYTES = 116
"""Bytes per tetrahedron: four indices, and the signs of its corners."""
VERTEX_BYTES = 188
"""Bytes per vertex of the grid: position, reach, four parameters, their gradients, four states of
Adan, displaced position."""
FACE_BYTES = 400
"""Bytes per face of the mesh: corners, normals, edges, and the buffers of the two regularisers."""
FACES = 18
"""Faces of the mesh over the squared resolution of the grid (mini bundle, 24 prompts: 17)."""


@dataclass(frozen=True, slots=True)
class SceneBytes:
    """Scene of one phase: its parameters and its renders."""

    state: int
    """Parameters, gradients and the optimiser's state."""
    buffers: int
    """Kept from a forward pass to its backward pass, at the worst step."""


def scene_bytes(method: MethodConfig) -> dict[str, SceneBytes]:
    """Part of a run → memory of its differentiable half; none for the reference view."""
    return {
        "reference": SceneBytes(0, 0),
        "coarse": _coarse(method.coarse),
        "geometry": _geometry(method.geometry, method.texture),
        "texture": _texture(method.texture, method.geometry),
    }


def field_parameters(config: FieldConfig) -> int:
    """Numbers that a field learns."""
    table = len(config.resolutions) * 2**config.log2_entries * config.features
    *inner, last = config.widths
    hidden = config.hidden * sum(inner)
    return table + sum(hidden + last * outputs for outputs in config.heads)


def sample_bytes(config: FieldConfig) -> int:
    """Returns the bytes per sample of the field, for a forward and a backward pass."""

    def kept(field: FieldConfig) -> int:
        return field.encoded + len(field.heads) * field.hidden_layers * field.hidden

    return round(SAMPLE_BYTES + NUMBER_BYTES * (kept(config) - kept(FieldConfig())))


def ray_samples(config: CoarseConfig) -> int:
    """Samples on the rays of one view, the ball full: the first iterations, and the most there are.

    A ray that meets the ball crosses 4/3 of its radius on average; of the picture those meet it
    that lie in the ball's outline, a disc of radius r / √(1 − r²/d²) at its centre.
    """
    distance, fov = config.cameras.distance[0], math.radians(config.cameras.fov_y_deg[0])
    field = config.field
    if distance <= field.radius:  # from inside, where a ray may cross all of it
        return round(config.size**2 * 2 * field.radius / config.ray_step)
    half = distance * math.tan(fov / 2)
    outline = field.radius**2 / (1 - (field.radius / distance) ** 2)
    covered = min(1.0, math.pi * outline / (2 * half) ** 2)
    chord = 4 / 3 * field.radius / config.ray_step
    return round(covered * config.size**2 * chord)


def _seen(guidance: GuidanceConfig, views: int) -> int:
    """Views that one iteration differentiates, the reference view among them."""
    return views + (max(guidance.w_rgb, guidance.w_mask) > 0)


def _coarse(config: CoarseConfig) -> SceneBytes:
    samples = _seen(config.guidance, config.views) * ray_samples(config)
    grid = config.occupancy.resolution**3
    state = 16 * field_parameters(config.field) + 5 * grid
    return SceneBytes(state, sample_bytes(config.field) * max(samples, round(math.pi / 6 * grid)))


def _geometry(config: GeometryConfig, texture: TextureConfig) -> SceneBytes:
    """In a cube: the box of a longer object has fewer cells."""
    cells = config.resolution**3
    pixels = _seen(config.guidance, config.views) * config.size**2
    faces = FACES * config.resolution**2
    state = 12 * cells * TET_BYTES + 2 * cells * VERTEX_BYTES
    buffers = PIXEL_BYTES * pixels + FACE_BYTES * faces
    if config.form == "network":  # asked at every vertex of the grid
        state += 16 * field_parameters(config.field)
        buffers += 2 * cells * sample_bytes(config.field)
    if config.colour:
        state += 16 * field_parameters(texture.field)
        buffers += sample_bytes(texture.field) * pixels
    return SceneBytes(state, buffers)


def _texture(config: TextureConfig, geometry: GeometryConfig) -> SceneBytes:
    field = config.field
    pixels = _seen(config.guidance, config.views) * config.size**2
    faces = FACES * geometry.resolution**2
    return SceneBytes(
        16 * field_parameters(field),
        (PIXEL_BYTES + sample_bytes(field)) * pixels + FACE_BYTES * faces,
    )
