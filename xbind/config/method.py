"""Settings of Algorithm 1: supervision and the three stages. Read-only; no torch here.

A setting that a version adds is declared with `added`, and its default does what was done before.

Conventions of the weights: a *latent* term is half the squared residual, summed over the latent
and averaged over views; every other term is a mean. A weight only means something with its
convention. The defaults are those of the preset `default`, except three weights of the
reference view that name their own.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from xbind.config.options import PlanarLoss
from xbind.config.ranges import (
    Ascending,
    Count,
    Elevation,
    FieldOfView,
    Pixels,
    Positive,
    PositiveCount,
    PositiveShare,
    Range,
    Settings,
    Share,
    Timestep,
    Weight,
    added,
    check_fields,
)
from xbind.config.scene import (
    AdamConfig,
    AdanConfig,
    CameraRange,
    ConversionConfig,
    FieldConfig,
    OccupancyConfig,
    TextureFitConfig,
    TurntableConfig,
    UnwrapConfig,
)
from xbind.config.terms import (
    AgreementConfig,
    BackgroundConfig,
    EllipsoidConfig,
    EstimatorConfig,
    LevelsConfig,
    Material,
    PbrConfig,
    PerpNegConfig,
    Ramp,
    RatesConfig,
    ShadingConfig,
    Timesteps,
    Weighting,
)

NormalKind = Literal["face", "vertex"]
"""Normals of a mesh."""
LaplacianForm = Literal["mean-squared", "sum-norm"]
"""Forms of L_ls."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig(Settings):
    """The random views G and L of Eq. 2 (text2mesh's values; none in the paper)."""

    crop_global: PositiveShare = 1.0
    """Share of a view's area that G shows, in (0, 1]."""
    crop_local: PositiveShare = 0.1
    """Share of a view's area that L shows, in (0, 1]."""
    probability: Share = 0.8
    """Chance of a perspective, in [0, 1]."""
    distortion: Annotated[float, Range(0, 0.5)] = 0.5
    """How far towards the centre a corner may move along each axis, in [0, 0.5]: 0.5 is a quarter
    of the image."""
    w_g: Weight = 1.0
    """ω_g (no value in the paper)."""
    w_l: Weight = 1.0
    """ω_l (no value in the paper)."""
    w_z: Weight = 1.0
    """ω_z (no value in the paper)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CdsConfig(Settings):
    """Timesteps and clamp of L_CDS (Consistent3D's consistency-refine; no values in the paper)."""

    t_2: tuple[Timestep, Timestep] = (300.0, 20.0)
    """t₂ at the start and at the end, along √progress, in steps of the schedule."""
    gap: Annotated[tuple[PositiveCount, PositiveCount], Ascending()] = (100, 199)
    """Least and most of t₁ − t₂, drawn uniformly, in steps."""
    t_1_max: Annotated[int, Range(1, 1000)] = 500
    """Largest t₁, in steps."""
    clamp: tuple[Positive, Positive] = (2.0, 8.0)
    """Bound on each element of the gradient at the start and at the end, linear between."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceConfig(Settings):
    """The reference view x_r."""

    candidates: PositiveCount = 24
    """Samples of the 2D prior to choose from."""
    steps: Annotated[int, Range(1, 1000)] = 20
    """DDIM steps."""
    cfg_scale: Weight = 3.0
    """s of uncond + s · (cond − uncond)."""
    w_cos: Weight = added(1.0)
    """Weight of the cosine with C_m, in standard deviations over the samples (not in the paper;
    preset `default`: 0.5, since it hardly tells whole samples from smeared ones)."""
    w_pose: Weight = 1.0
    """Weight of an informative pose beside the cosine, both in standard deviations over the samples
    (not in the paper)."""
    w_parts: Weight = 2.0
    """Weight of an outline that shows parts, likewise (not in the paper; preset `default`: 3)."""
    parts_limit: Weight = 1.5
    """Bound on the standardised outline measure, on either side (not in the paper)."""
    w_apart: Weight = 3.0
    """Weight of the share of the area outside the largest piece, in the outline measure (not in
    the paper)."""
    solid_share: Share = 0.5
    """Share of the object's median distance from white above which a pixel counts for its outline
    (not in the paper)."""
    w_error: Weight = added(0.0)
    """Weight of a small denoising error of the 2D prior, divided by the length of the outline,
    likewise (not in the paper; preset `default`: 4, chosen by eye on the mini bundle)."""
    error_t: tuple[Annotated[int, Range(0, 999)], ...] = added((400, 500, 600))
    """Timesteps at which that error is measured, in steps of the schedule (likewise)."""
    error_pairs: PositiveCount = added(2)
    """Pairs of opposite noises at each of these timesteps (likewise)."""
    white_distance: Share = 0.06
    """A pixel belongs to the object when a channel is this far from white, in [0, 1] (not in the
    paper)."""
    border_share: Share = 0.1
    """Share of a sample's border that may differ from white on a white background (not in the
    paper)."""
    noise_level: Annotated[int, Range(0, 999)] = 0
    """Of the 2D prior's condition: a step of its noising schedule (diffusers: 0)."""
    elevation_deg: Elevation = 15.0
    """Preferred elevation of the reference, in degrees."""
    azimuth_deg: float = 40.0
    """Preferred turn from the front, to either side, in degrees."""
    azimuth_confidence: Weight = 0.6
    """Length of the estimated (cos, sin) from which the azimuth is believed."""
    distance: Positive = 2.5
    """Of the reference camera (threestudio's magic123)."""
    fov_y_deg: FieldOfView = 40.0
    """Of the reference camera, in degrees."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.error_t:
            raise ValueError("error_t needs a timestep; set w_error to 0 to leave the error out")


@dataclass(frozen=True, kw_only=True, slots=True)
class GuidanceConfig(Settings):
    """Hybrid diffusion supervision in one phase. A weight of 0 leaves a term out altogether."""

    w_2d: Weight = 6e-4
    """ω* of Eq. 8, or ω_cds of Eq. 9: latent term of the 2D prior (sum)."""
    w_3d: Weight = 2e-3
    """ω_3d of Eq. 12: latent term of the 3D prior (sum)."""
    w_img: Weight = 5e3
    """ω_img of Eq. 5 beside the summed latent term (mean over pixels)."""
    w_img_3d: Weight = 5e3
    """Weight of an image term on the 3D prior, beside its summed latent term (mean over pixels).
    Ours, not the paper's: Eq. 10 is the latent term alone. 0 in `paper`, `fast` and the
    baselines."""
    w_ms: Weight = 0.5
    """ω_ms of Eq. 9 (mean cosine)."""
    decoder: Literal["tiny"] | None = None
    """Of x̂ in the image term: `tiny` for the bundle's TAESD where it has one; None for the prior's
    own VAE."""
    size_2d: Pixels | None = None
    """Largest side of the images that the 2D prior is shown, in pixels, where its own are larger;
    None for its own. The latent term is a sum: half the side is a quarter of it."""
    ms_augmentations: PositiveCount = 1
    """n of Eq. 2, for each of G and L."""
    augment: AugmentConfig = AugmentConfig()
    """G and L of Eq. 2."""
    cfg_2d: Weight = 3.0
    """Guidance scale of the 2D prior, s of uncond + s · (cond − uncond); at the start."""
    cfg_2d_end: Weight | None = None
    """The same at the end of a linear ramp; None for a constant scale."""
    cfg_3d: Weight = 2.5
    """Guidance scale of the 3D prior, likewise; constant."""
    weighting: Weighting = added("residual")
    """λ(t) of the 2D prior's SDS and VSD, a factor on ε̂ − ε: `residual` is σ/α, which weighs z − ẑ
    alike at all t; `sds` σ² (DreamFusion), `uniform` 1, `fantasia3d` α σ²."""
    timesteps: Timesteps = "annealed"
    """How both priors' SDS draws t: around a value that falls from t_max to t_min along √progress
    (HiFA), or uniformly between them (threestudio's magic123)."""
    t_max: Share = 0.98
    """Most noise, as a share of the schedule."""
    t_max_late: Share | None = added(None)
    """The same from `late_from` on; None for no change (threestudio's prolificdreamer: 0.5)."""
    late_from: Share = added(1.0)
    """Share of the stage from which `t_max_late` counts (threestudio's prolificdreamer: 0.2)."""
    t_min: Share = 0.05
    """Least noise, as a share of the schedule."""
    t_jitter: Share = 0.04
    """Half width of the draw around the annealed timestep, as a share of the schedule (not in the
    paper)."""
    cds: CdsConfig = CdsConfig()
    """Timesteps and clamp of L_CDS."""
    w_rgb: Weight = 20.0
    """ω_rgb of Eq. 11 (mean)."""
    w_mask: Weight = 5.0
    """ω_mask of Eq. 11 (mean)."""
    reference_every: PositiveCount = 2
    """Iterations between two looks from the reference view."""
    view_words: bool = added(False)
    """True if the 2D prior is also given a word for the direction of each view: front, side, back
    or overhead. Of no effect with a bundle that has no such words."""
    front_deg: Annotated[float, Range(0, 90)] = added(45.0)
    """Half width of the azimuths that count as front, and as back, in degrees (threestudio)."""
    overhead_deg: Elevation = added(60.0)
    """Elevation above which a view counts as overhead, in degrees (threestudio)."""
    perp_neg: Weight = added(0.0)
    """Factor on Perp-Neg's weights of the words of other directions, with `view_words`; 0 leaves
    Perp-Neg out (threestudio's default). In a stage whose loss of the 2D prior is `sds`."""
    perp_neg_curves: PerpNegConfig = added(PerpNegConfig())
    """Perp-Neg's weights over the azimuth."""
    latent_share: Share = added(0.0)
    """Share of the stage in which the 2D prior is given normals and mask, shrunk to its latents'
    size, as if they were latents (threestudio's fantasia3d: 0.1); in the geometry stage."""
    estimator: EstimatorConfig = added(EstimatorConfig())
    """The estimator of VSD, in a stage whose loss of the 2D prior is `vsd`."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.t_min > self.t_max:
            raise ValueError(f"t_min must be at most t_max, got {self.t_min} and {self.t_max}")
        if self.t_max_late is not None and self.t_min > self.t_max_late:
            raise ValueError(
                f"t_max_late must be at least t_min, got {self.t_max_late} and {self.t_min}"
            )
        if self.perp_neg > 0 and not self.view_words:
            raise ValueError("perp_neg leads away from view words: set view_words to true too")
        if self.perp_neg > 0 and self.latent_share > 0:
            raise ValueError(
                f"perp_neg is for views, not for latents made of normals: it must be 0 where "
                f"latent_share is above 0, got {self.perp_neg:g}"
            )

    def t_max_at(self, progress: float) -> float:
        """Most noise at a share of the stage in [0, 1], as a share of the schedule."""
        is_late = self.t_max_late is not None and progress >= self.late_from
        return self.t_max_late if is_late and self.t_max_late is not None else self.t_max

    def cfg_2d_at(self, progress: float) -> float:
        """Guidance scale of the 2D prior at a share of the stage in [0, 1]."""
        end = self.cfg_2d if self.cfg_2d_end is None else self.cfg_2d_end
        return self.cfg_2d + (end - self.cfg_2d) * progress

    def shown_2d(self, own: int) -> int:
        """Side of the images that a 2D prior with images of `own` pixels is shown, in pixels."""
        return own if self.size_2d is None else min(self.size_2d, own)

    @property
    def uses_reference(self) -> bool:
        """Returns True if a term needs x_r: the 3D prior's, or L_ref."""
        return max(self.w_3d, self.w_rgb, self.w_mask) > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CoarseConfig(Settings):
    """Phase I: a NeRF at low resolution."""

    steps: Count = 200
    """N_phase-1 of Algorithm 1 (no value in the paper)."""
    views: PositiveCount = 1
    """Views per iteration."""
    size: Pixels = 64
    """Side of the rendered views, in pixels (128 in the paper)."""
    learning_rate: Positive = 0.02
    """Adam's, at the start (0.01 in the paper, over many more iterations)."""
    rate_end: Share = 0.2
    """Share of the learning rate that is left at the end of a linear decay; 1 for a constant rate,
    which the paper implies."""
    rate_decay_from: Annotated[float, Range(0, 1, open_high=True)] = 0.6
    """Share of the iterations after which the decay begins, in [0, 1) (not in the paper)."""
    adam: AdamConfig = AdamConfig()
    """The optimiser's other settings."""
    field: FieldConfig = FieldConfig()
    """The radiance field (Sec. V-A-3: multi-resolution hash grid and MLPs)."""
    occupancy: OccupancyConfig = OccupancyConfig()
    """Numbers of the occupancy grid."""
    stream: Count = 1
    """Added to the run's seed for the field's first weights."""
    ray_step: Positive = 0.035
    """Distance of two samples on a ray, in scene units."""
    threshold: Positive = 10.0
    """Density of the surface that becomes the mesh, in inverse scene units (10 in threestudio)."""
    planar: PlanarLoss = "sds"
    """`sds`, augmented (Eq. 5); `cds` in a baseline; `vsd` in ProlificDreamer."""
    w_nz: Weight = 10.0
    """ω_nz of Eq. 8 (mean), reached at the end of a linear ramp from 0."""
    nz_ramp: Share = 1.0
    """Share of the iterations that the ramp of ω_nz takes (HiFA: 0.5); 0 for a constant weight
    (threestudio)."""
    nz_opacity: Share = 0.5
    """A ray counts in L_nz when its weights sum to more than this (Eq. 7)."""
    w_nv: Weight = 0.1
    """Weight of L_nv (no value in the paper; RealFusion: 0.5)."""
    nv_blur_taps: PositiveCount = 9
    """Side of L_nv's blur, in pixels (RealFusion)."""
    nv_blur_sigma: Positive = 1.7
    """Standard deviation of L_nv's blur, in pixels (torchvision's for nine taps)."""
    normal_opacity: Share = 0.5
    """Opacity from which a ray has a normal (not in the paper)."""
    normal_spacing: Positive = 1.7 / 96
    """Half the distance of the central differences that give normals, in scene units: one cell of
    the finest grid (not in the paper; threestudio differentiates exactly)."""
    w_opacity: Weight = 0.05
    """Weight of the mean opacity, against haze (not in the paper)."""
    w_orient: Ramp = added(Ramp())
    """Weight of the orientation loss (Ref-NeRF; mean over rays that meet the object)."""
    orient_share: PositiveShare = added(0.125)
    """Share of the rays, drawn in each iteration, that the orientation loss is a mean of."""
    w_sparsity: Ramp = added(Ramp())
    """Weight of the mean of √(opacity² + sparsity_floor) (DreamFusion)."""
    sparsity_floor: Positive = added(0.01)
    """Added to the squared opacity below the root (threestudio)."""
    w_entropy: Ramp = added(Ramp())
    """Weight of the binary entropy of the opacity (threestudio's `opaque`; mean)."""
    entropy_margin: Annotated[float, Range(0, 0.5, open_low=True)] = added(1e-3)
    """Opacities are clamped to [margin, 1 − margin] in the entropy (threestudio)."""
    shading: ShadingConfig = added(ShadingConfig())
    """Light in the views."""
    background: BackgroundConfig = added(BackgroundConfig())
    """Colour behind the object."""
    rates: RatesConfig = added(RatesConfig())
    """Learning rates of single groups of parameters."""
    levels: LevelsConfig = added(LevelsConfig())
    """Levels of the hash grid that are trained."""
    cameras: CameraRange = CameraRange()
    """Sec. V-A-1."""
    guidance: GuidanceConfig = GuidanceConfig()
    """L_planar-S and L_stereo."""

    def __post_init__(self) -> None:
        check_fields(self)
        _check_latents(self.guidance)
        _check_perp_neg(self.planar, self.guidance)


@dataclass(frozen=True, kw_only=True, slots=True)
class GeometryConfig(Settings):
    """Phase II: DMTet geometry on normal maps."""

    steps: Count = 80
    """N_phase-2 of Algorithm 1 (no value in the paper)."""
    views: PositiveCount = 1
    """Views per iteration."""
    size: Pixels = 64
    """Side of the rendered normal maps, in pixels (512 in the paper)."""
    learning_rate: Positive = 0.01
    """Adan's (Sec. V-A-2)."""
    rate_end: Share = added(1.0)
    """Share of the learning rate that is left at the end of a linear decay; 1 for none."""
    rate_decay_from: Annotated[float, Range(0, 1, open_high=True)] = added(0.6)
    """Share of the iterations after which the decay begins, in [0, 1)."""
    optimizer: Literal["adan", "adam"] = added("adan")
    """Adan (Sec. V-A-2), or Adam."""
    adan: AdanConfig = AdanConfig()
    """Adan's other settings."""
    adam: AdamConfig = added(AdamConfig())
    """Adam's other settings."""
    rates: RatesConfig = added(RatesConfig())
    """Learning rates of single groups of parameters."""
    start: Literal["coarse", "ellipsoid"] = added("coarse")
    """The first shape: the level set of Phase I's density, or an ellipsoid."""
    ellipsoid: EllipsoidConfig = added(EllipsoidConfig())
    """The ellipsoid, where the geometry starts from it."""
    form: Literal["grid", "network"] = added("grid")
    """Signed distances and offsets of the grid's vertices: free numbers (DMTet), or outputs of a
    network of the position (Fantasia3D), which starts from the ellipsoid alone."""
    field: FieldConfig = added(FieldConfig())
    """The network, where the form is one; its blob and density scale are not used."""
    stream: Count = added(5)
    """Added to the run's seed for the network's first weights."""
    colour: bool = added(False)
    """True if the colour field of Phase III is optimised here too, and views show its colours in
    place of normals (Magic3D). Phase III then starts with it, or, without iterations, shows it."""
    colour_rate: Positive = added(0.01)
    """Learning rate of the colours, of the same optimiser (threestudio's magic3d-refine-sd)."""
    shading: ShadingConfig = added(ShadingConfig())
    """Light in views that show colours."""
    background: BackgroundConfig = added(BackgroundConfig())
    """Colour behind the object in views that show colours; normals are on black."""
    conversion: ConversionConfig = ConversionConfig()
    """Conversion of the density to signed distances."""
    resolution: PositiveCount = 32
    """Cells of the tetrahedral grid along the longest side of the object's box: about two pixels of
    the views each. More of them cost time in unwrapping and show nothing more."""
    planar: PlanarLoss = "cds"
    """`cds`, or `sds` as in Fig. 6's comparison and in the other methods."""
    close_share: Share = 0.5
    """Share of iterations with `cameras`; the others use `whole_cameras` (the paper: 1)."""
    cameras: CameraRange = CameraRange(
        elevation_deg=(-10.0, 45.0),
        azimuth_deg=(-135.0, 225.0),
        distance=(1.5, 2.0),
        fov_y_deg=(30.0, 45.0),
    )
    """Sec. V-A-1: close views, which crop the object on purpose."""
    whole_cameras: CameraRange = CameraRange()
    """Views that show the whole object (not in the paper)."""
    w_nc: Weight = 1.0
    """Weight of L_nc (no value in the paper; Consistent3D: 100)."""
    nc_normals: NormalKind = "face"
    """Normals that L_nc compares across an edge: of faces (nvdiffrec) or of vertices
    (Consistent3D)."""
    w_ls: Weight = 200.0
    """Weight of L_ls (no value in the paper; Consistent3D: 100), in 1/squared scene units, or in
    1/scene units for the form `sum-norm`."""
    ls_form: LaplacianForm = "mean-squared"
    """What L_ls averages: squared norms of the mean difference to the neighbours, or norms of the
    summed differences (Consistent3D)."""
    guidance: GuidanceConfig = GuidanceConfig(t_max=0.5, t_min=0.02, w_rgb=0.0)
    """L_planar-C and L_stereo; RGB term off, since the render is a normal map."""

    def __post_init__(self) -> None:
        check_fields(self)
        _check_perp_neg(self.planar, self.guidance)
        if self.form == "network" and self.start != "ellipsoid":
            raise ValueError("form 'network' begins as an ellipsoid: set start to 'ellipsoid' too")
        if self.form == "network" and self.ellipsoid.half_side > self.field.radius:
            raise ValueError(
                f"ellipsoid.half_side must be at most field.radius, got "
                f"{self.ellipsoid.half_side:g} and {self.field.radius:g}"
            )
        if self.colour:
            _check_latents(self.guidance)
        elif self.shading.light != "none" or self.background.kind != "white":
            raise ValueError("shading and background are for colours: set colour to true too")
        if self.guidance.latent_share > 0 and self.planar != "sds":
            raise ValueError(f"guidance.latent_share is for planar 'sds', got {self.planar!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TextureConfig(Settings):
    """Phase III: texture on the frozen geometry."""

    steps: Count = 80
    """N_phase-3 of Algorithm 1 (no value in the paper)."""
    views: PositiveCount = 1
    """Views per iteration."""
    size: Pixels = 64
    """Side of the rendered views, in pixels (512 in the paper)."""
    learning_rate: Positive = 0.001
    """Adam's (Sec. V-A-2)."""
    rate_end: Share = added(1.0)
    """Share of the learning rate that is left at the end of a linear decay; 1 for none."""
    rate_decay_from: Annotated[float, Range(0, 1, open_high=True)] = added(0.6)
    """Share of the iterations after which the decay begins, in [0, 1)."""
    adam: AdamConfig = AdamConfig(betas=(0.9, 0.999))
    """The optimiser's other settings: torch's (not in the paper; threestudio: 0.9, 0.99)."""
    rates: RatesConfig = added(RatesConfig())
    """Learning rates of single groups of parameters."""
    inherit: bool = added(True)
    """True if the field starts from the colours of the stage before; False for a new field."""
    material: Material = added("albedo")
    """What the field holds: a colour, or the physically based material of Fantasia3D."""
    pbr: PbrConfig = added(PbrConfig())
    """Ranges of the physically based material."""
    shading: ShadingConfig = added(ShadingConfig())
    """Light in the views, with the material `albedo`."""
    background: BackgroundConfig = added(BackgroundConfig())
    """Colour behind the object."""
    field: FieldConfig = FieldConfig(resolutions=(12, 17, 23, 33, 46, 64))
    """The colour field; its finest cells are about a pixel of the views."""
    fit: TextureFitConfig = TextureFitConfig()
    """Fit of the field before the first iteration."""
    stream: Count = 2
    """Added to the run's seed for the field's first weights and the draws of the fit."""
    texture_px: Pixels = 512
    """Side of the baked texture, in pixels."""
    unwrap: UnwrapConfig = UnwrapConfig()
    """Layout of the mesh in the texture."""
    planar: PlanarLoss = "sds"
    """As in Phase I."""
    cameras: CameraRange = CameraRange()
    """Sec. V-A-1."""
    guidance: GuidanceConfig = GuidanceConfig(t_max=0.5)
    """L_planar-S and L_stereo."""

    def __post_init__(self) -> None:
        check_fields(self)
        _check_latents(self.guidance)
        _check_perp_neg(self.planar, self.guidance)
        if self.material == "pbr" and self.inherit:
            raise ValueError("material 'pbr' begins with a new field: set inherit to false too")
        if self.material == "pbr" and self.shading.light != "none":
            raise ValueError(
                f"material 'pbr' has a light of its own: set shading.light to 'none', got "
                f"{self.shading.light!r}"
            )

    @property
    def shows_light(self) -> bool:
        """True if the finished object is seen in the bundle's known light, if it has one.

        Its lit texture is then the albedo, or the material, and its unlit one what that shows.
        """
        return self.shading.light == "bundle" or self.material == "pbr"


def _check_perp_neg(planar: PlanarLoss, guidance: GuidanceConfig) -> None:
    """Refuse Perp-Neg in a stage whose loss of the 2D prior has no step with it."""
    if guidance.perp_neg > 0 and planar != "sds":
        raise ValueError(f"guidance.perp_neg is for planar 'sds', got {planar!r}")


def _check_latents(guidance: GuidanceConfig) -> None:
    """Refuse latents made of normals in a stage whose views show colours."""
    if guidance.latent_share > 0:
        raise ValueError(
            f"guidance.latent_share is for views of normals alone; here it must be 0, got "
            f"{guidance.latent_share:g}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodConfig(Settings):
    """Algorithm 1."""

    reference: ReferenceConfig = ReferenceConfig()
    agreement: AgreementConfig = added(AgreementConfig())
    """Share of ω_3d by the 3D prior's agreement with the prompt."""
    coarse: CoarseConfig = CoarseConfig()
    geometry: GeometryConfig = GeometryConfig()
    texture: TextureConfig = TextureConfig()
    prior_2d: str | None = added(None)
    """Name of the bundle's 2D prior to use, such as `sd_base`, which reads the prompt's text
    alone; None for the bundle's default."""
    prior_3d: str | None = None
    """Name of the bundle's 3D prior to use; None for the bundle's default."""
    checkpoint_every: PositiveCount = 20
    """Iterations between two checkpoints."""
    preview_every: PositiveCount = 50
    """Iterations between two preview pictures."""
    turntable_frames: PositiveCount = 36
    """Frames of the turntable (threestudio: 120, which the paper's page shows)."""
    turntable: TurntableConfig = TurntableConfig()
    """The turntable's other settings."""

    @property
    def phases(self) -> "tuple[CoarseConfig | GeometryConfig | TextureConfig, ...]":
        """Phases with at least one step, in order."""
        return tuple(p for p in (self.coarse, self.geometry, self.texture) if p.steps > 0)

    @property
    def uses_view_words(self) -> bool:
        """True if the 2D prior is given a word for the direction of a view in any phase."""
        return any(phase.guidance.view_words for phase in self.phases)

    @property
    def uses_light(self) -> bool:
        """True if the bundle's known light decides the result."""
        lit = (self.coarse.shading, self.geometry.shading)
        return self.texture.shows_light or any(shading.light == "bundle" for shading in lit)

    @property
    def uses_agreement(self) -> bool:
        """True if the 3D prior's agreement with the prompt decides its weight."""
        uses_3d = any(phase.guidance.w_3d > 0 for phase in self.phases)
        return uses_3d and self.agreement.least_share < 1

    @property
    def uses_reference(self) -> bool:
        """True if any phase needs the reference view."""
        return any(phase.guidance.uses_reference for phase in self.phases)
