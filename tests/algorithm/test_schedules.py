"""What changes over a stage's iterations: rates, weights and feeds, in closed form."""

from dataclasses import replace

import pytest
import torch

from xbind.algorithm.optimizers import rate_share_at
from xbind.algorithm.phase1_nerf import w_nz_at
from xbind.algorithm.supervision import Supervision
from xbind.config.presets import (
    CoarseConfig,
    GeometryConfig,
    GuidanceConfig,
    TextureConfig,
    preset_named,
)
from xbind.diffusion.schedule import NoiseSchedule, alphas_cumprod, scaled_linear_betas
from xbind.networks.graphs import StepUse, has_image_term, step_of
from xbind.scene.cameras import orbit

DEFAULT = CoarseConfig()
SCHEDULE = NoiseSchedule(alphas_cumprod(scaled_linear_betas()), "v_prediction")


@pytest.mark.parametrize("step", range(0, 200, 7))
def test_the_rate_of_default_falls_to_a_fifth_from_60_percent_on(step):
    progress = step / 200
    wanted = 0.02 * min(1.0, 1.0 - 0.8 * (progress - 0.6) / 0.4)
    # to the last bit: same seed, same mesh
    assert 0.02 * rate_share_at(DEFAULT, progress) == wanted


def test_the_rate_of_paper_is_constant():
    config = preset_named("paper").coarse
    assert {rate_share_at(config, p / 10) for p in range(11)} == {1.0}


def test_the_weight_of_l_nz_ramps():
    assert [w_nz_at(DEFAULT, step) for step in (0, 50, 200)] == [0.0, 2.5, 10.0]
    half = replace(DEFAULT, nz_ramp=0.5)  # HiFA
    assert [w_nz_at(half, step) for step in (0, 50, 100, 200)] == [0.0, 5.0, 10.0, 10.0]
    assert w_nz_at(preset_named("paper").coarse, 0) == 100.0


def chosen(guidance):
    """Names of the steps of both priors in a bundle that has TAESD."""
    use = StepUse(guidance, has_taesd=True)
    return tuple(step_of(term, use).name for term in ("planar", "stereo"))


@pytest.mark.parametrize(
    ("w_img", "w_img_3d", "names"),
    [
        (1.0, 1.0, ("sds2d_img", "sds3d_img")),
        (1.0, 0.0, ("sds2d_img", "sds3d")),
        (0.0, 1.0, ("sds2d", "sds3d_img")),
        (0.0, 0.0, ("sds2d", "sds3d")),
    ],
)
def test_each_prior_has_an_image_term_of_its_own(w_img, w_img_3d, names):
    guidance = GuidanceConfig(w_img=w_img, w_img_3d=w_img_3d)
    assert chosen(guidance) == names
    tiny = replace(guidance, decoder="tiny")
    wanted = tuple(name.replace("_img", "_tiny") for name in names)
    assert chosen(tiny) == wanted


def test_cds_has_no_image_term():
    own = GuidanceConfig(w_img_3d=0.0)
    assert has_image_term(CoarseConfig(guidance=own))
    assert not has_image_term(GeometryConfig(guidance=own))
    assert has_image_term(TextureConfig(guidance=replace(own, w_img=0.0, w_img_3d=1.0)))
    assert not has_image_term(CoarseConfig(guidance=replace(own, w_2d=0.0)))


def feeds_of(monkeypatch, term, config, progress=0.25):
    """What `planar_s` or `stereo` gives a step, with bundles that need no networks."""
    monkeypatch.setattr("xbind.algorithm.supervision.StepCall", lambda *call: call)
    monkeypatch.setattr(Supervision, "token", lambda *_: torch.zeros(4000, 1, 2))
    prior = type("Prior", (), {
        "image_size": 64, "latent_shape": (4, 1, 1), "latent_shape_at": lambda *_: (4, 1, 1),
        "schedule": SCHEDULE, "contexts": torch.zeros(1, 1, 2), "has_view_words": False,
        "null_context": torch.zeros(1, 1, 2), "takes_labels": True,
    })()  # fmt: skip
    bundle = type("B", (), {"zero123": prior, "unclip": prior, "clip_size": 8, "taesd": None})()
    stereo = type("S", (), {"latent": torch.zeros(1, 4, 1, 1), "share": torch.tensor(0.25)})()
    given = {"class_labels": torch.zeros(1, 2), "contexts": None}
    condition = type("C", (), {**given, "stereo": stereo})()
    supervision = Supervision(bundle, condition, lambda name: name)
    image, generator = torch.zeros(4000, 3, 1, 1), torch.Generator().manual_seed(0)
    if term == "planar_s":
        name, _, feeds = supervision.planar_s(config, image, orbit(1), progress, generator)
    else:
        name, _, feeds = supervision.stereo(config, image, orbit(1), progress, generator)
    return name, feeds


@pytest.mark.parametrize(
    ("term", "graph", "weight"), [("planar_s", "sds2d_img", 3.0), ("stereo", "sds3d_img", 7.0)]
)
def test_a_step_is_fed_the_weight_of_its_own_image_term(monkeypatch, term, graph, weight):
    config = GuidanceConfig(w_img=3.0, w_img_3d=7.0)
    name, feeds = feeds_of(monkeypatch, term, config)
    assert (name, float(feeds["w_img"])) == (graph, weight)
    name, feeds = feeds_of(monkeypatch, term, replace(config, w_img=0.0, w_img_3d=0.0))
    assert name == graph.removesuffix("_img")
    assert "w_img" not in feeds


@pytest.mark.parametrize("term", ["planar_s", "stereo"])
def test_timesteps_are_uniform_or_annealed(monkeypatch, term):
    uniform = GuidanceConfig(timesteps="uniform", t_min=0.2, t_max=0.6)
    _, feeds = feeds_of(monkeypatch, term, uniform)
    assert feeds["t"].min() in range(200, 203)
    assert feeds["t"].max() in range(597, 600)
    annealed = replace(uniform, timesteps="annealed", t_jitter=0.01)
    _, feeds = feeds_of(monkeypatch, term, annealed)  # 0.6 − 0.4 · √0.25 = 0.4
    assert feeds["t"].min() >= 390
    assert feeds["t"].max() <= 410


def test_the_guidance_scale_follows_its_ramp(monkeypatch):
    _, feeds = feeds_of(monkeypatch, "planar_s", GuidanceConfig(cfg_2d=101.0, cfg_2d_end=31.0))
    assert float(feeds["cfg_scale"]) == 101.0 - 0.25 * 70.0


@pytest.mark.parametrize(
    ("weighting", "on_the_noise"),
    [
        ("sds", lambda alpha_bar: 1 - alpha_bar),
        ("uniform", lambda alpha_bar: 1.0),
        ("fantasia3d", lambda alpha_bar: alpha_bar**0.5 * (1 - alpha_bar)),
        ("residual", lambda alpha_bar: ((1 - alpha_bar) / alpha_bar) ** 0.5),
    ],
)
def test_a_weighting_is_a_factor_on_the_residual_of_the_noise(monkeypatch, weighting, on_the_noise):
    """z − ẑ of a prediction ε̂, with z_t = α z + σ ε, is (σ/α)(ε̂ − ε): solved for ẑ in float64."""
    config = GuidanceConfig(timesteps="uniform", weighting=weighting, t_min=0.02, t_max=0.98)
    _, feeds = feeds_of(monkeypatch, "planar_s", config)
    alpha_bar = SCHEDULE.alphas_cumprod.double()[feeds["t"]]
    z, noise, predicted = 0.3, 1.1, -0.4
    z_t = alpha_bar**0.5 * z + (1 - alpha_bar) ** 0.5 * noise
    z_hat = (z_t - (1 - alpha_bar) ** 0.5 * predicted) / alpha_bar**0.5
    gradient = feeds["weight"].double() * (z - z_hat)
    wanted = torch.tensor([float(on_the_noise(x)) for x in alpha_bar]) * (predicted - noise)
    torch.testing.assert_close(gradient, wanted.double(), rtol=1e-4, atol=1e-6)


def test_the_largest_timestep_is_switched(monkeypatch):
    config = GuidanceConfig(timesteps="uniform", t_min=0.02, t_max_late=0.5, late_from=0.5)
    for progress, most in ((0.25, 980), (0.5, 500)):
        _, feeds = feeds_of(monkeypatch, "planar_s", config, progress)
        assert feeds["t"].max() in range(most - 4, most)
