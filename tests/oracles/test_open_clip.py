"""Towers of the `open_clip` package under transformers' names: the same embeddings."""

import open_clip
import pytest
import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from xbind.importing.convert import text_from_open_clip, vision_from_open_clip

WIDTH, LAYERS = 64, 3


@pytest.fixture(scope="module", params=[False, True], ids=["gelu", "quick_gelu"])
def model(request):
    """A small model of ViT-H/14's kind, or of OpenAI's."""
    torch.manual_seed(0)
    vision = {
        "image_size": 56,
        "layers": LAYERS,
        "width": WIDTH,
        "head_width": 16,
        "patch_size": 14,
    }
    text = {"context_length": 12, "vocab_size": 50, "width": WIDTH, "heads": 4, "layers": LAYERS}
    net = open_clip.model.CLIP(32, vision, text, quick_gelu=request.param).eval()
    for x in net.parameters():
        x.data.add_(0.05 * torch.randn(x.shape))
    return net, "quick_gelu" if request.param else "gelu"


@torch.no_grad()
def test_image_embeddings_and_their_gradient(model, rng):
    net, activation = model
    config = CLIPVisionConfig(
        hidden_act=activation, hidden_size=WIDTH, image_size=56, intermediate_size=4 * WIDTH,
        num_attention_heads=4, num_hidden_layers=LAYERS, patch_size=14, projection_dim=32,
    )  # fmt: skip
    ours = CLIPVisionModelWithProjection(config).eval()
    state = vision_from_open_clip(net.visual.state_dict())
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(k.endswith("position_ids") for k in missing)
    pixels = torch.randn(3, 3, 56, 56, generator=rng)
    with torch.enable_grad():
        grads = []
        for embed in (lambda x: ours(pixel_values=x).image_embeds, net.encode_image):
            x = pixels.clone().requires_grad_()
            y = embed(x)
            grads.append((y.detach(), torch.autograd.grad(y.square().sum(), x)[0]))
    torch.testing.assert_close(grads[0][0], grads[1][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(grads[0][1], grads[1][1], rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_last_but_one_layer_of_the_text(model, rng):
    """Stable Diffusion 2 reads the text tower one block before its end, then the last norm."""
    net, activation = model
    config = CLIPTextConfig(
        hidden_act=activation, hidden_size=WIDTH, intermediate_size=4 * WIDTH, vocab_size=50,
        num_attention_heads=4, num_hidden_layers=LAYERS - 1, max_position_embeddings=12,
        bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    ours = CLIPTextModel(config).eval()
    state = text_from_open_clip(net.state_dict(), LAYERS - 1)
    state = {k.removeprefix("text_model."): v for k, v in state.items()}
    names = {k.removeprefix("text_model."): k for k in ours.state_dict()}
    ours.load_state_dict({names[k]: v for k, v in state.items()})
    ids = torch.randint(0, 48, (2, 12), generator=rng)
    x = net.token_embedding(ids) + net.positional_embedding
    for block in net.transformer.resblocks[:-1]:
        x = block(x, attn_mask=net.attn_mask)
    want = net.ln_final(x)
    torch.testing.assert_close(ours(ids).last_hidden_state, want, rtol=1e-4, atol=1e-5)
