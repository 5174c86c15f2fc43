"""The class vector against the pipeline of the checkpoints."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.pipelines.stable_diffusion.pipeline_stable_unclip_img2img import (
    StableUnCLIPImg2ImgPipeline,
)
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import (
    StableUnCLIPImageNormalizer,
)

from xbind.diffusion.schedule import alphas_cumprod, squared_cosine_betas
from xbind.diffusion.unclip import unclip_condition


@pytest.mark.parametrize("level", [0, 300, 999])
def test_class_vector_is_the_pipeline_s(rng, level):
    embedding, noise, mean = torch.randn(3, 2, 16, generator=rng)
    std = torch.rand(16, generator=rng) + 0.5
    normalizer = StableUnCLIPImageNormalizer(embedding_dim=16)
    normalizer.load_state_dict({"mean": mean[:1], "std": std[None]})
    pipeline = SimpleNamespace(
        image_normalizer=normalizer,
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
    )
    want = StableUnCLIPImg2ImgPipeline.noise_image_embeddings(
        pipeline, 10 * embedding, level, noise=noise
    )
    got = unclip_condition(
        10 * embedding,
        torch.full((2,), level),
        noise,
        mean=mean[0],
        std=std,
        alphas_cumprod=alphas_cumprod(squared_cosine_betas()),
    )
    torch.testing.assert_close(got, want.detach(), rtol=1e-5, atol=1e-4)
