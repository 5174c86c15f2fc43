"""Every number of the method, and the presets that choose them. Read-only; no torch here.

Conventions of the weights: a *latent* term is half the squared residual, summed over the latent
and averaged over views; every other term is a mean. A weight only means something with its
convention.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from xbind.config import PlanarLoss
from xbind.errors import XBindError


class UnknownPreset(XBindError):
    """There is no preset of that name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraRange:
    """Where views are taken from, uniformly."""

    elevation_deg: tuple[float, float] = (-45.0, 45.0)
    """Above the horizon, in degrees."""
    azimuth_deg: tuple[float, float] = (-180.0, 180.0)
    """From +x towards +y, in degrees."""
    distance: tuple[float, float] = (2.5, 2.5)
    """From the object's centre, in scene units."""
    fov_y_deg: tuple[float, float] = (40.0, 40.0)
    """Vertical field of view, in degrees."""


PHASE_2_CAMERAS = CameraRange(
    elevation_deg=(-10.0, 45.0),
    azimuth_deg=(-135.0, 225.0),
    distance=(1.5, 2.0),
    fov_y_deg=(30.0, 45.0),
)
"""Sec. V-A-1: close views, which crop the object on purpose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceConfig:
    """The reference view x_r."""

    candidates: int = 24
    """Samples of the 2D prior to choose from."""
    steps: int = 20
    """DDIM steps."""
    cfg_scale: float = 3.0
    """s of uncond + s · (cond − uncond)."""
    w_pose: float = 1.0
    """Weight of an informative pose beside the cosine, both in standard deviations over the samples
    (not in the paper)."""
    w_parts: float = 2.0
    """Weight of an outline that shows parts, likewise (not in the paper)."""
    elevation_deg: float = 15.0
    """Preferred elevation of the reference, in degrees."""
    azimuth_deg: float = 40.0
    """Preferred turn from the front, to either side, in degrees."""
    azimuth_confidence: float = 0.6
    """Length of the estimated (cos, sin) from which the azimuth is believed."""
    distance: float = 2.5
    """Of the reference camera (threestudio's magic123)."""
    fov_y_deg: float = 40.0
    """Of the reference camera, in degrees."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidanceConfig:
    """Hybrid diffusion supervision in one phase. A weight of 0 leaves a term out altogether."""

    w_2d: float = 6e-4
    """ω* of Eq. 8, or ω_cds of Eq. 9: latent term of the 2D prior (sum)."""
    w_3d: float = 2e-3
    """ω_3d of Eq. 12: latent term of the 3D prior (sum)."""
    w_img: float = 5e3
    """ω_img of Eq. 5 beside the summed latent term (mean over pixels)."""
    w_ms: float = 0.5
    """ω_ms of Eq. 9 (mean cosine)."""
    decoder: Literal["tiny"] | None = None
    """Of x̂ in the image term: `tiny` for the bundle's TAESD where it has one; None for the prior's
    own VAE."""
    size_2d: int | None = None
    """Largest side of the images that the 2D prior is shown, in pixels, where its own are larger;
    None for its own. The latent term is a sum: half the side is a quarter of it."""
    ms_augmentations: int = 1
    """n of Eq. 2, for each of G and L."""
    cfg_2d: float = 3.0
    """Guidance scale of the 2D prior."""
    cfg_3d: float = 2.5
    """Guidance scale of the 3D prior."""
    t_max: float = 0.98
    """Most noise, as a share of the schedule."""
    t_min: float = 0.05
    """Least noise, as a share of the schedule."""
    t_jitter: float = 0.04
    """Half width of the draw around the annealed timestep, as a share of the schedule."""
    w_rgb: float = 20.0
    """ω_rgb of Eq. 11 (mean)."""
    w_mask: float = 5.0
    """ω_mask of Eq. 11 (mean)."""
    reference_every: int = 2
    """Iterations between two looks from the reference view."""

    def shown_2d(self, own: int) -> int:
        """Side of the images that a 2D prior with images of `own` pixels is shown, in pixels."""
        return own if self.size_2d is None else min(self.size_2d, own)

    @property
    def uses_reference(self) -> bool:
        """Whether a term asks for x_r: the 3D prior's, or L_ref."""
        return max(self.w_3d, self.w_rgb, self.w_mask) > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CoarseConfig:
    """Phase I: a NeRF at low resolution."""

    steps: int = 200
    """N_phase-1 of Algorithm 1 (no value in the paper)."""
    views: int = 1
    """Views per iteration."""
    size: int = 64
    """Side of the rendered views, in pixels (128 in the paper)."""
    learning_rate: float = 0.02
    """Adam's, at the start (0.01 in the paper, over many more iterations)."""
    ray_step: float = 0.035
    """Distance of two samples on a ray, in scene units."""
    threshold: float = 10.0
    """Density of the surface that becomes the mesh, in inverse scene units (10 in threestudio)."""
    planar: PlanarLoss = "sds"
    """`sds`, augmented (Eq. 5); `cds` in a baseline."""
    w_nz: float = 10.0
    """ω_nz of Eq. 8, reached at the end of a linear ramp."""
    w_nv: float = 0.1
    """Weight of L_nv (no value in the paper)."""
    w_opacity: float = 0.05
    """Weight of the mean opacity, against haze (not in the paper)."""
    cameras: CameraRange = field(default_factory=CameraRange)
    """Sec. V-A-1."""
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    """L_planar-S and L_stereo."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GeometryConfig:
    """Phase II: DMTet geometry on normal maps."""

    steps: int = 80
    """N_phase-2 of Algorithm 1 (no value in the paper)."""
    views: int = 1
    """Views per iteration."""
    size: int = 64
    """Side of the rendered normal maps, in pixels (512 in the paper)."""
    learning_rate: float = 0.01
    """Adan's (Sec. V-A-2)."""
    resolution: int = 32
    """Cells of the tetrahedral grid along the longest side of the object's box: about two pixels of
    the views each. More of them cost time in unwrapping and show nothing more."""
    planar: PlanarLoss = "cds"
    """`cds`, or `sds` as in Fig. 6's comparison."""
    close_share: float = 0.5
    """Share of iterations with the close cameras of Sec. V-A-1; the others use Phase I's."""
    w_nc: float = 1.0
    """Weight of L_nc (no value in the paper)."""
    w_ls: float = 200.0
    """Weight of L_ls (no value in the paper), in 1/squared scene units."""
    guidance: GuidanceConfig = field(
        default_factory=lambda: GuidanceConfig(t_max=0.5, t_min=0.02, w_rgb=0.0)
    )
    """L_planar-C and L_stereo; RGB term off, since the render is a normal map."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextureConfig:
    """Phase III: texture on the frozen geometry."""

    steps: int = 80
    """N_phase-3 of Algorithm 1 (no value in the paper)."""
    views: int = 1
    """Views per iteration."""
    size: int = 64
    """Side of the rendered views, in pixels (512 in the paper)."""
    learning_rate: float = 0.001
    """Adam's (Sec. V-A-2)."""
    finest_resolution: int = 64
    """Cells of the colour field along a side of its cube: about a pixel of the views each."""
    texture_px: int = 512
    """Side of the baked texture, in pixels."""
    planar: PlanarLoss = "sds"
    """As in Phase I."""
    cameras: CameraRange = field(default_factory=CameraRange)
    """Sec. V-A-1."""
    guidance: GuidanceConfig = field(default_factory=lambda: GuidanceConfig(t_max=0.5))
    """L_planar-S and L_stereo."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodConfig:
    """Algorithm 1."""

    reference: ReferenceConfig = field(default_factory=ReferenceConfig)
    coarse: CoarseConfig = field(default_factory=CoarseConfig)
    geometry: GeometryConfig = field(default_factory=GeometryConfig)
    texture: TextureConfig = field(default_factory=TextureConfig)
    prior_3d: str | None = None
    """Name of the bundle's 3D prior to use; None for the bundle's default."""
    checkpoint_every: int = 20
    """Iterations between two checkpoints."""
    preview_every: int = 50
    """Iterations between two preview pictures."""
    turntable_frames: int = 36
    """Frames of the turntable."""

    @property
    def phases(self) -> "tuple[CoarseConfig | GeometryConfig | TextureConfig, ...]":
        """Those that take steps, in their order."""
        return tuple(p for p in (self.coarse, self.geometry, self.texture) if p.steps > 0)

    @property
    def uses_reference(self) -> bool:
        """Whether any phase asks for the reference view."""
        return any(phase.guidance.uses_reference for phase in self.phases)


def default() -> MethodConfig:
    """For 64-pixel priors on a CPU: one to two minutes with engines."""
    return MethodConfig()


def smoke() -> MethodConfig:
    """A few steps of everything, which only checks that everything runs: the object is a ball."""
    method = default()
    return replace(
        method,
        reference=replace(method.reference, candidates=3, steps=8),
        coarse=replace(method.coarse, steps=12),
        geometry=replace(method.geometry, steps=4, resolution=24),
        texture=replace(method.texture, steps=4, texture_px=128),
        checkpoint_every=5,
        preview_every=10,
        turntable_frames=8,
    )


def probe() -> MethodConfig:
    """Two steps of every phase, to see that a bundle and a machine go together: no object."""
    method = smoke()
    return replace(
        method,
        coarse=replace(method.coarse, steps=2),
        geometry=replace(method.geometry, steps=2),
        texture=replace(method.texture, steps=2),
        turntable_frames=2,
    )


MAGIC123 = GuidanceConfig(
    w_2d=0.01,
    w_3d=0.4,
    w_img=0.1 * 0.5 * 3 * 512**2,
    w_ms=10.0,
    ms_augmentations=4,
    cfg_2d=100.0,
    cfg_3d=5.0,
    t_max=0.6,
    t_min=0.2,
    w_rgb=1000.0,
    w_mask=100.0,
    reference_every=1,
)
"""Where the paper is silent: threestudio's magic123 (1 : 40 for the priors, t .2 … .6, CFG 100 and
5, reference 1000 and 100), whose λ .025 and 1 weigh (1 − ᾱ)(ε̂ − ε): in that range about 0.4 of the
(z − ẑ) that is weighed here. HiFA's image term, .1 of half a *sum* over 512² pixels, as a mean;
text2mesh's n; stable-dreamfusion's weight of a CLIP term."""


def paper() -> MethodConfig:
    """The paper's numbers, for 512-pixel priors on a 24 GB GPU; hours. What it leaves open is from
    the systems it was built on (threestudio's magic123-hifa, Consistent3D's consistency-refine)."""
    method = MethodConfig()
    return replace(
        method,
        reference=replace(method.reference, candidates=4, cfg_scale=10.0),
        coarse=replace(
            method.coarse, steps=10_000, size=128, learning_rate=0.01, ray_step=3.464 / 256,
            threshold=10.0, w_nz=100.0, w_nv=0.5, w_opacity=0.0, guidance=MAGIC123,
        ),
        geometry=replace(
            method.geometry, steps=3_000, views=2, size=512, resolution=128, close_share=1.0,
            w_nc=100.0,
            # CDS anneals its own timesteps; λ 1 there stands alone, here beside the 3D prior
            guidance=replace(
                MAGIC123, w_2d=0.025, cfg_2d=65.0, t_max=0.5, t_min=0.02, w_rgb=0.0
            ),
        ),
        texture=replace(
            method.texture, steps=10_000, size=512, finest_resolution=2048, texture_px=2048,
            guidance=MAGIC123,
        ),
        checkpoint_every=250,
        preview_every=500,
        turntable_frames=120,
    )  # fmt: skip


def fast() -> MethodConfig:
    """`paper` with a tenth of its steps, one view each and fewer augmentations; in Phase I the 2D
    prior is shown 256 pixels; x̂ by TAESD where the bundle has it."""
    method = paper()
    return replace(
        method,
        coarse=replace(
            method.coarse, steps=1_500,
            # a quarter of the latents and pixels: both terms of Eq. 5 weigh what they did
            guidance=replace(
                MAGIC123, ms_augmentations=1, size_2d=256, w_2d=4 * MAGIC123.w_2d,
                w_img=MAGIC123.w_img / 4, decoder="tiny",
            ),
        ),
        geometry=replace(
            method.geometry, steps=400, views=1,
            guidance=replace(method.geometry.guidance, ms_augmentations=1, decoder="tiny"),
        ),
        texture=replace(
            method.texture, steps=800, texture_px=1024,
            guidance=replace(MAGIC123, ms_augmentations=1, w_img=0.0),
        ),
    )  # fmt: skip


PRESETS: dict[str, Callable[[], MethodConfig]] = {
    "default": default, "smoke": smoke, "probe": probe, "paper": paper, "fast": fast,
}  # fmt: skip
"""Name → configuration."""
TRIALS = ("smoke", "probe")
"""Presets that only check that everything runs; their objects mean nothing."""


def preset_named(name: str) -> MethodConfig:
    """The preset of that name.

    Raises:
        UnknownPreset: there is none; the message lists them.
    """
    if name not in PRESETS:
        raise UnknownPreset(
            f"There is no preset {name!r}.\nChoose one with --preset: {', '.join(PRESETS)}."
        )
    return PRESETS[name]()
