"""Hybrid diffusion supervision (Eq. 8, 9, 12, 13): which losses a view is given, with which feeds.

Weights are applied by the phases, beside the terms of Algorithm 1; here every term is plain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.algorithm.contexts import context_feeds, perp_neg_context_feeds
from xbind.algorithm.reference_view import (
    ReferenceView,
    Show,
    condition_unclip,
    make_reference_view,
)
from xbind.algorithm.stereo_condition import (
    StereoCondition,
    make_stereo_condition,
    weighted_by_agreement,
)
from xbind.conditioning.prompt import EncodedPrompt
from xbind.config.options import PlanarLoss
from xbind.config.presets import GuidanceConfig, ReferenceConfig
from xbind.config.savings import FASTEST, Savings
from xbind.config.terms import AgreementConfig, EstimatorConfig
from xbind.diffusion.estimator import Estimator, Theta
from xbind.diffusion.timesteps import (
    annealed_timesteps,
    cds_clamp,
    cds_timesteps,
    uniform_timesteps,
)
from xbind.diffusion.weighting import latent_weight
from xbind.losses.augment import augment, draw_augmentations
from xbind.losses.ms import ms_weights
from xbind.losses.side_by_side import OneByOne, StepRunner
from xbind.losses.step import GuidanceStep, StepCall
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import StepUse, eager_steps, step_of
from xbind.scene.cameras import Cameras

Image = Float[Tensor, "b 3 h w"]


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """What a run is told, fixed from its first iteration to its last; part of every checkpoint."""

    c_m: Float[Tensor, " d"]
    """C_m, the target of the MS loss, of length 1."""
    class_labels: Float[Tensor, "1 d2"]
    """unCLIP's class vector of C_m; a 2D prior without class embedding is not given it."""
    eps_star: Float[Tensor, "1 c h w"]
    """ε* of Eq. 3."""
    stereo: StereoCondition | None
    """None in a method that has no L_stereo."""
    contexts: Float[Tensor, "n l c"] | None = None
    """The prompt's text with each of `VIEW_WORDS`, encoded for a 2D prior that reads text
    alone; None for the contexts of the bundle, which name no object."""

    @property
    def reference(self) -> ReferenceView:
        """x_r, m and its camera; only for a method that has L_stereo."""
        assert self.stereo is not None
        return self.stereo.view

    def state(self) -> dict[str, Tensor]:
        """Plain tensors for a checkpoint."""
        own = {"c_m": self.c_m, "class_labels": self.class_labels, "eps_star": self.eps_star}
        own |= {} if self.contexts is None else {"contexts": self.contexts}
        return own if self.stereo is None else own | self.stereo.state()

    @classmethod
    def from_state(
        cls, state: Mapping[str, Tensor], device: torch.device | str = "cpu"
    ) -> "Condition":
        """Read back `state`, to a device."""
        state = {name: x.to(device) for name, x in state.items()}
        return cls(
            c_m=state["c_m"],
            class_labels=state["class_labels"],
            eps_star=state["eps_star"],
            stereo=StereoCondition.from_state(state) if "image" in state else None,
            contexts=state.get("contexts"),
        )


def make_condition(
    prompt: EncodedPrompt,
    bundle: Bundle,
    config: ReferenceConfig,
    generator: torch.Generator,
    *,
    stereo: bool = True,
    agreement: AgreementConfig | None = None,
    savings: Savings = FASTEST,
    candidate: int | None = None,
    show: Show | None = None,
) -> Condition:
    """Draw everything that is drawn once per run.

    Args:
        prompt: what the user gave.
        bundle: the frozen networks.
        config: of the reference view.
        generator: source of all randomness.
        stereo: whether a reference view is needed.
        agreement: how the 3D prior's agreement with the prompt decides its weight; None leaves it.
        savings: how the networks are run.
        candidate: number of the sampled reference view to take, from 1; None for the best by score.
        show: receives the sampled reference views and the number of the chosen one.

    Raises:
        PromptError: no usable reference view could be sampled, or the candidate is not usable.
    """
    labels = condition_unclip(
        prompt.conditioning[None], bundle.unclip, generator, noise_level=config.noise_level
    )
    eps_star = _normal(generator, 1, *bundle.unclip.latent_shape)
    if not stereo:
        return Condition(prompt.c_m, labels, eps_star, None, prompt.contexts)
    view = make_reference_view(
        prompt, labels, bundle, config, generator, savings, candidate=candidate, show=show
    )
    stereo_condition = make_stereo_condition(view, prompt, bundle)
    if agreement is not None:
        stereo_condition = weighted_by_agreement(
            stereo_condition, prompt.c_m, bundle, agreement, generator, savings
        )
    return Condition(prompt.c_m, labels, eps_star, stereo_condition, prompt.contexts)


class Supervision:
    """The guidance steps of one run, with their feeds that never change.

    `planar_s`, `planar_c`, `stereo` and `ms` draw the feeds of a step and return it as a
    `StepCall`; its `loss` is the term, without its weight.
    """

    def __init__(
        self,
        bundle: Bundle,
        condition: Condition,
        step: Callable[[str], GuidanceStep] | None = None,
        runner: StepRunner | None = None,
    ) -> None:
        """Take what does not change.

        Args:
            bundle: the frozen networks.
            condition: what the run is told.
            step: name → guidance step, such as engines; by default eager torch.
            runner: starts the steps of an iteration; by default each runs when it is started.
        """
        self.condition = condition
        self._zero123 = bundle.zero123
        self._unclip = bundle.unclip
        self._clip_size = bundle.clip_size
        self._has_taesd = bundle.taesd is not None
        self._step = eager_steps(bundle) if step is None else step
        self.runner = OneByOne() if runner is None else runner

    def planar_s(
        self,
        config: GuidanceConfig,
        image: Image,
        cameras: Cameras,
        progress: float,
        generator: torch.Generator,
    ) -> StepCall:
        """L_SDS* (Eq. 5) of views in [0, 1]; the latent term is a sum."""
        b = len(image)
        noise = _normal(generator, b, *self._latent_shape(config))
        t = self._timesteps(config, progress, b, generator)
        return _call(
            self._step_of("planar", config),
            image,
            noise=noise,
            t=t,
            **self._condition_feeds(config, cameras, perp_neg=self._use(config).perp_neg),
            cfg_scale=_number(config.cfg_2d_at(progress), image),
            weight=latent_weight(self._unclip.schedule, config.weighting, t),
            **_image_term(config.w_img, image),
        )

    def planar_latents(
        self,
        config: GuidanceConfig,
        latents: Float[Tensor, "b c h w"],
        cameras: Cameras,
        progress: float,
        generator: torch.Generator,
    ) -> StepCall:
        """SDS (Eq. 4) of pictures that stand for latents, at any size; a sum over the latent."""
        b = len(latents)
        noise = _normal(generator, b, *self._latent_shape(config))
        t = self._timesteps(config, progress, b, generator)
        use = replace(self._use(config), as_latents=True)
        return _call(
            self._step(step_of("planar", use).name),
            latents,
            noise=noise,
            t=t,
            **self._condition_feeds(config, cameras),
            cfg_scale=_number(config.cfg_2d_at(progress), latents),
            weight=latent_weight(self._unclip.schedule, config.weighting, t),
        )

    def planar_c(
        self,
        config: GuidanceConfig,
        image: Image,
        cameras: Cameras,
        progress: float,
        generator: torch.Generator,
    ) -> StepCall:
        """L_CDS (Eq. 3) of views in [0, 1]; a sum over the latent."""
        b = len(image)
        t_1, t_2 = cds_timesteps(progress, b, config=config.cds, generator=generator)
        _, h, w = self._latent_shape(config)
        return _call(
            self._step_of("planar", config, "cds"),
            image,
            eps_star=self.condition.eps_star[..., :h, :w],  # a part of white noise is white noise
            t_1=t_1,
            t_2=t_2,
            **self._condition_feeds(config, cameras),
            cfg_scale=_number(config.cfg_2d_at(progress), image),
            weight=self._unclip.schedule.variance(t_1),
            clamp=_number(cds_clamp(progress, config.cds), image),
        )

    def planar_v(
        self,
        config: GuidanceConfig,
        image: Image,
        cameras: Cameras,
        theta: Theta,
        progress: float,
        generator: torch.Generator,
    ) -> StepCall:
        """VSD of views in [0, 1]: its latent term, a sum, and the loss of the estimator's θ."""
        b, shape = len(image), self._latent_shape(config)
        noise = _normal(generator, b, *shape)
        t = self._timesteps(config, progress, b, generator)
        noise_theta = _normal(generator, b, *shape)
        length = len(self._unclip.schedule.alphas_cumprod)
        t_theta = torch.randint(length, (b,), generator=generator, device=generator.device)
        kept = torch.rand(b, 1, generator=generator, device=generator.device)
        camera = cameras.camera_to_world().flatten(1)
        return _call(
            self._step_of("planar", config, "vsd"),
            image,
            theta=theta,
            noise=noise,
            t=t,
            noise_theta=noise_theta,
            t_theta=t_theta,
            **self._condition_feeds(config, cameras),
            context_theta=self._contexts[:1],
            camera=camera,
            camera_theta=camera * (kept >= config.estimator.camera_drop),
            cfg_scale=_number(config.cfg_2d_at(progress), image),
            weight=latent_weight(self._unclip.schedule, config.weighting, t),
        )

    def start_theta(self, config: EstimatorConfig, generator: torch.Generator) -> Theta:
        """θ of the estimator before any iteration: it is the 2D prior itself."""
        unclip = self._unclip
        estimator = Estimator(unclip.unet, cross_attention=unclip.reads_text)
        return estimator.start(config.rank, generator)

    def stereo(
        self,
        config: GuidanceConfig,
        image: Image,
        cameras: Cameras,
        progress: float,
        generator: torch.Generator,
    ) -> StepCall:
        """L_3D-SDS (Eq. 10) of views in [0, 1]; the latent term is a sum.

        With `w_img_3d` above 0 an image term is added, which is ours, as is the share of the whole
        by the 3D prior's agreement with the prompt.
        """
        b = len(image)
        assert self.condition.stereo is not None
        return _call(
            self._step_of("stereo", config),
            image,
            noise=_normal(generator, b, *self._zero123.latent_shape),
            t=self._timesteps(config, progress, b, generator),
            token=self.token(cameras),
            reference_latent=self.condition.stereo.latent,
            cfg_scale=_number(config.cfg_3d, image),
            weight=image.new_ones(b) * self.condition.stereo.share,
            **_image_term(config.w_img_3d, image),
        )

    def token(self, cameras: Cameras) -> Float[Tensor, "b 1 d"]:
        """c(x_r, R, T): the projected [image embedding ; relative camera] of each view."""
        assert self.condition.stereo is not None
        return self.condition.stereo.token(cameras, self._zero123)

    def ms(self, config: GuidanceConfig, image: Image, generator: torch.Generator) -> StepCall:
        """L_MS (Eq. 2) over 1 + 2n images per view, divided by their number: in [−1, 1]."""
        n = config.ms_augmentations
        drawn = draw_augmentations(len(image), n, config.augment, generator)
        augmented = augment(image, drawn, self._clip_size)
        weight = ms_weights(
            len(image), n, w_g=config.augment.w_g, w_l=config.augment.w_l, w_z=config.augment.w_z,
            device=image.device,
        )  # fmt: skip
        return _call(
            self._step_of("ms", config),
            augmented,
            c_m=self.condition.c_m,
            weight=weight / weight.sum(),
        )

    @property
    def _contexts(self) -> Float[Tensor, "n l c"]:
        """Contexts of the prompt's text for each of `VIEW_WORDS`, or those of the bundle."""
        own = self.condition.contexts
        return self._unclip.contexts if own is None else own

    def _condition_feeds(
        self, config: GuidanceConfig, cameras: Cameras, *, perp_neg: bool = False
    ) -> dict[str, Tensor]:
        """Feeds that tell the 2D prior what is wanted: text contexts, and C_m if it reads it."""
        feeds = perp_neg_context_feeds if perp_neg else context_feeds
        contexts = feeds(self._contexts, self._unclip.null_context, config, cameras)
        labels = {"class_labels": self.condition.class_labels} if self._unclip.takes_labels else {}
        return contexts | labels

    def _step_of(
        self, term: str, config: GuidanceConfig, planar: PlanarLoss = "sds"
    ) -> GuidanceStep:
        """The guidance step that computes a term."""
        return self._step(step_of(term, self._use(config, planar)).name)

    def _use(self, config: GuidanceConfig, planar: PlanarLoss = "sds") -> StepUse:
        return StepUse(config, planar, self._has_taesd, self._unclip.has_view_words)

    def _latent_shape(self, config: GuidanceConfig) -> tuple[int, int, int]:
        """Channels, height and width of the 2D prior's latents."""
        return self._unclip.latent_shape_at(config.shown_2d(self._unclip.image_size))

    def _timesteps(
        self, config: GuidanceConfig, progress: float, b: int, generator: torch.Generator
    ) -> Tensor:
        t_max = config.t_max_at(progress)
        if config.timesteps == "uniform":
            return uniform_timesteps(b, t_min=config.t_min, t_max=t_max, generator=generator)
        return annealed_timesteps(
            progress, b, t_min=config.t_min, t_max=t_max, generator=generator,
            jitter=config.t_jitter,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class GuidedViews:
    """Rendered views of one iteration, and what their terms depend on."""

    config: GuidanceConfig
    planar: PlanarLoss
    """Returns the loss of the 2D prior in a phase."""
    image: Image
    cameras: Cameras
    progress: float
    """Share of the phase that is done, in [0, 1]."""
    generator: torch.Generator
    theta: Theta | None = None
    """θ of the estimator, in a phase whose loss of the 2D prior is `vsd`."""
    latents: Float[Tensor, "b c h w"] | None = None
    """Pictures that stand for the views' latents in the 2D prior's loss; None for the views."""


TERMS: Mapping[str, Callable[[Supervision, GuidedViews], StepCall]] = {
    "planar": lambda supervision, v: _planar(supervision, v),
    "stereo": lambda supervision, v: supervision.stereo(
        v.config, v.image, v.cameras, v.progress, v.generator
    ),
    "ms": lambda supervision, v: supervision.ms(v.config, v.image, v.generator),
}
"""Term → its step with its feeds, in the order of their draws. The step knows the term's
weight (`xbind.networks.graphs.steps`)."""


def _planar(supervision: Supervision, v: GuidedViews) -> StepCall:
    """The step of the 2D prior's loss."""
    if v.planar == "vsd":
        assert v.theta is not None, "a phase with VSD holds an estimator"
        return supervision.planar_v(v.config, v.image, v.cameras, v.theta, v.progress, v.generator)
    if v.latents is not None:
        return supervision.planar_latents(v.config, v.latents, v.cameras, v.progress, v.generator)
    planar = supervision.planar_c if v.planar == "cds" else supervision.planar_s
    return planar(v.config, v.image, v.cameras, v.progress, v.generator)


def _call(step: GuidanceStep, image: Float[Tensor, "b c h w"], **feeds: Tensor) -> StepCall:
    return StepCall(step, image, feeds)


def _image_term(weight: float, like: Tensor) -> dict[str, Tensor]:
    """The feed of a step's image term, if it has one."""
    return {"w_img": _number(weight, like)} if weight > 0 else {}


def _number(value: float, like: Tensor) -> Float[Tensor, ""]:
    """A feed of one number, made where it is needed: nothing is copied."""
    return torch.full((), value, device=like.device)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)
