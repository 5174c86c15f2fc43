"""A method of a few tiny iterations, and networks for it that are none: for tests of the loop."""

from dataclasses import replace
from types import SimpleNamespace

import torch

from xbind.algorithm.supervision import Condition
from xbind.config.presets import GuidanceConfig, preset_named
from xbind.config.savings import FASTEST
from xbind.networks.runtime import RunNetworks, StageNetworks

SMOKE = preset_named("smoke")
NONE = replace(GuidanceConfig(), w_2d=0.0, w_3d=0.0, w_ms=0.0, w_rgb=0.0, w_mask=0.0)
SMALL = {"steps": 3, "size": 16, "guidance": NONE}
RGB = torch.tensor([0.8, 0.1, 0.1])
METHOD = replace(
    SMOKE,
    coarse=replace(SMOKE.coarse, **SMALL),
    geometry=replace(SMOKE.geometry, **SMALL),
    texture=replace(SMOKE.texture, **SMALL | {"guidance": replace(NONE, w_ms=1.0)}),
)
"""A method whose only frozen network is that of L_MS, in Phase III, which has no other loss."""
CONDITION = Condition(torch.ones(4), torch.ones(1, 4), torch.ones(1, 4, 8, 8), None)


class Redness:
    """A guidance step without a network: the squared distance of all images from one colour."""

    inputs = ("image", "c_m", "weight")
    outputs = ("loss", "x_bar")

    def __call__(self, image, **feeds):
        del feeds
        apart = image - RGB[:, None, None]
        return apart.square().mean(), 2 * apart / apart.numel()


class Networks(RunNetworks):
    """Networks that note which stage they are asked for, and when they are unloaded."""

    backend = "eager"
    bundle = SimpleNamespace(
        unclip=SimpleNamespace(has_view_words=False), zero123=None, clip_size=16, taesd=None,
        manifest=SimpleNamespace(light=None),
    )  # fmt: skip

    def __init__(self):
        self.stages = []

    def of_stage(self, name):
        self.stages.append(name)
        return StageNetworks(self.bundle, FASTEST, {"ms": Redness()}.__getitem__)

    def unload(self):
        self.stages.append("unloaded")
