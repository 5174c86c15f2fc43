"""Conditions and guided predictions against the pipelines of the published checkpoints.

unCLIP: the pipeline of diffusers, run for two steps. Zero-1-to-3: what the pipeline of its authors
computes, written out here, since no package holds it.
"""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, StableUnCLIPImg2ImgPipeline
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import (
    StableUnCLIPImageNormalizer,
)
from tiny_sources import networks, tiny, write_tables
from transformers import CLIPTokenizer

from xbind.algorithm.reference_view import condition_unclip, embed_reference_image
from xbind.diffusion.latents import encode
from xbind.diffusion.priors import Prior2d, Zero123Prior
from xbind.diffusion.schedule import (
    NoiseSchedule,
    alphas_cumprod,
    scaled_linear_betas,
    squared_cosine_betas,
)
from xbind.importing.architectures import reduced
from xbind.models.bind import BindModel
from xbind.networks.frozen import Unclip, Zero123
from xbind.scene.cameras import Cameras, relative_pose

SHAPES = tiny(reduced())


@pytest.fixture(scope="module")
def nets():
    return networks(SHAPES, BindModel)


def schedule(kind):
    return NoiseSchedule(alphas_cumprod(scaled_linear_betas(0.00085, 0.012, 1000)), kind)


class Recorder(DDIMScheduler):
    """A sampler that keeps every guided prediction it is given."""

    def step(self, model_output, timestep, sample, **kwargs):
        self.seen.append((sample.clone(), int(timestep), model_output.clone()))
        return super().step(model_output, timestep, sample, **kwargs)


def test_unclip_s_guided_prediction_is_the_pipeline_s(nets, tmp_path, rng):
    write_tables(tmp_path)
    normaliser = StableUnCLIPImageNormalizer(64)
    mean, std = torch.randn(1, 64, generator=rng), 0.5 + torch.rand(1, 64, generator=rng)
    normaliser.load_state_dict({"mean": mean, "std": std})
    sampler = Recorder(**SHAPES.scheduler2d, clip_sample=False)
    sampler.seen = []
    pipeline = StableUnCLIPImg2ImgPipeline(
        feature_extractor=None, image_encoder=nets["clip"], image_normalizer=normaliser,
        image_noising_scheduler=DDPMScheduler(**SHAPES.noising),
        tokenizer=CLIPTokenizer.from_pretrained(tmp_path), text_encoder=nets["text"],
        unet=nets["unet2d"], scheduler=sampler, vae=nets["vae2d"],
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    embedding = 8 * torch.randn(1, 64, generator=rng)
    latents = torch.randn(1, 4, 8, 8, generator=rng)
    pipeline(
        image=None, prompt="", image_embeds=embedding, noise_level=0, num_inference_steps=2,
        guidance_scale=7.5, generator=torch.Generator().manual_seed(5), latents=latents,
        output_type="latent",
    )  # fmt: skip

    ids = torch.tensor([[512, 513] + [0] * 75])
    context = nets["text"](ids).last_hidden_state
    unclip = Unclip(
        nets["unet2d"], nets["vae2d"], schedule("v_prediction"), context, mean[0], std[0],
        alphas_cumprod(squared_cosine_betas(1000)), 64,
    )  # fmt: skip
    labels = condition_unclip(embedding, unclip, torch.Generator().manual_seed(5))
    assert labels.shape == (1, 128)
    prior = Prior2d(unclip.unet)
    assert len(sampler.seen) == 2
    for z_t, t, want in sampler.seen:
        got = prior(z_t, torch.tensor([t]), labels, context, context, torch.tensor(7.5))
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)
    assert unclip.latent_shape == (4, 8, 8)


def test_zero123_s_guided_prediction_is_its_authors(nets, rng):
    zero123 = Zero123(
        nets["unet3d"], nets["vae3d"], schedule("epsilon"), nets["image_encoder"],
        nets["projection"], None, 64,
    )  # fmt: skip
    x_r, z_t = torch.rand(1, 3, 64, 64, generator=rng), torch.randn(1, 4, 8, 8, generator=rng)
    t, scale = torch.tensor([300]), 3.0
    view = [torch.tensor([float(x)]) for x in (10, 50, 2.0, 40)]
    reference = [torch.tensor([float(x)]) for x in (25, 20, 2.5, 40)]

    # The authors': CLIP's pixels by a bicubic resize of [−1, 1] with aligned corners; the pose as
    # differences of polar angle (from the pole, so cond − target elevation), azimuth and radius.
    pixels = torch.nn.functional.interpolate(
        2 * x_r - 1, (56, 56), mode="bicubic", align_corners=True
    )
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    embedding = nets["image_encoder"](((pixels + 1) / 2 - mean) / std).image_embeds
    turn = torch.deg2rad(torch.tensor(50.0 - 20.0))
    pose = torch.tensor([[torch.deg2rad(torch.tensor(25.0 - 10.0)), turn.sin(), turn.cos(), -0.5]])
    token = nets["projection"](torch.cat([embedding, pose], 1))[:, None]
    latent = nets["vae3d"].encode(2 * x_r - 1).latent_dist.mode()  # not times the scaling factor
    both = torch.cat([torch.zeros_like(latent), latent])
    sample = torch.cat([torch.cat([z_t, z_t]), both], 1)
    tokens = torch.cat([torch.zeros_like(token), token])
    uncond, cond = nets["unet3d"](sample, t, encoder_hidden_states=tokens).sample.chunk(2)
    want = uncond + scale * (cond - uncond)

    ours = embed_reference_image(x_r, zero123)
    moved = relative_pose(Cameras(*view), Cameras(*reference))
    token = zero123.projection(torch.cat([ours, moved], 1))[:, None]
    concat = encode(zero123.vae, x_r) / zero123.vae.config.scaling_factor
    got = Zero123Prior(zero123.unet)(z_t, t, token, concat, torch.tensor(scale))
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)
    assert (cond - uncond).norm() > 1e-3 * cond.norm()  # the condition matters


def test_an_image_of_clip_s_own_size_goes_in_untouched(nets, rng):
    zero123 = Zero123(
        nets["unet3d"], nets["vae3d"], schedule("epsilon"), nets["image_encoder"],
        nets["projection"], 2.0, 64,
    )  # fmt: skip
    x = torch.rand(2, 3, 56, 56, generator=rng)
    got = embed_reference_image(x, zero123)
    torch.testing.assert_close(got.norm(dim=-1), torch.full((2,), 2.0))
