"""Fused operators on images, volumes and surfaces, each defined once in torch.

Each operator has a folder; `common.choice` says which implementation runs.
"""

from xbind.kernels.augment.operator import ms_augment as ms_augment
from xbind.kernels.common.samples import Composited as Composited
from xbind.kernels.common.samples import RaySamples as RaySamples
from xbind.kernels.group_norm.operator import group_norm as group_norm
from xbind.kernels.surface.operator import antialias as antialias
from xbind.kernels.surface.operator import edge_table as edge_table
from xbind.kernels.surface.operator import interpolate as interpolate
from xbind.kernels.surface.operator import rasterize as rasterize
from xbind.kernels.volume import composite as composite
from xbind.kernels.volume import grid_mlp as grid_mlp
from xbind.kernels.volume import hash_encode as hash_encode
from xbind.kernels.volume import march as march
