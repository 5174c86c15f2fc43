"""The aligned encoder: ImageBind's names and shapes, and what its forward pass has to satisfy."""

import pytest
import torch
from torch.nn.functional import normalize

from xbind.models.bind import BindModel
from xbind.models.bind_config import BindConfig, StemLayer, TrunkConfig

HUGE = BindConfig(
    embed_dim=1024,
    vocab_size=49408,
    context_length=77,
    trunks={
        "vision": TrunkConfig(
            width=1280, depth=1, heads=16, input_size=(224, 224), channels=3, frames=2,
            pre_norm=True, stem=(StemLayer(channels=1280, kernel=14, stride=14),),
        ),
        "text": TrunkConfig(width=1024, depth=1, heads=16, logit_scale=14.3, learnt_scale=True),
        "audio": TrunkConfig(
            width=768, depth=1, heads=12, input_size=(128, 204), bias_kv=True, stem_norm=True,
            stem=(StemLayer(channels=768, kernel=16, stride=10),), logit_scale=20.0,
        ),
        "depth": TrunkConfig(
            width=384, depth=1, heads=8, input_size=(224, 224), bias_kv=True, stem_norm=True,
            stem=(StemLayer(channels=384, kernel=16, stride=16),), logit_scale=5.0,
        ),
    },
)  # fmt: skip
OFFICIAL = {
    "modality_preprocessors.vision.cls_token": (1, 1, 1280),
    "modality_preprocessors.vision.rgbt_stem.proj.1.weight": (1280, 3, 2, 14, 14),
    "modality_preprocessors.vision.pos_embedding_helper.pos_embed": (1, 257, 1280),
    "modality_preprocessors.text.pos_embed": (1, 77, 1024),
    "modality_preprocessors.text.mask": (77, 77),
    "modality_preprocessors.text.token_embedding.weight": (49408, 1024),
    "modality_preprocessors.audio.rgbt_stem.proj.weight": (768, 1, 16, 16),
    "modality_preprocessors.audio.rgbt_stem.norm_layer.weight": (768,),
    "modality_preprocessors.audio.pos_embedding_helper.pos_embed": (1, 229, 768),
    "modality_preprocessors.depth.depth_stem.proj.weight": (384, 1, 16, 16),
    "modality_preprocessors.depth.pos_embedding_helper.pos_embed": (1, 197, 384),
    "modality_trunks.vision.pre_transformer_layer.0.weight": (1280,),
    "modality_trunks.vision.blocks.0.attn.in_proj_weight": (3840, 1280),
    "modality_trunks.vision.blocks.0.mlp.fc1.weight": (5120, 1280),
    "modality_trunks.audio.blocks.0.attn.bias_k": (1, 1, 768),
    "modality_trunks.text.blocks.0.norm_1.bias": (1024,),
    "modality_heads.vision.0.weight": (1280,),
    "modality_heads.vision.2.weight": (1024, 1280),
    "modality_heads.text.proj.1.weight": (1024, 1024),
    "modality_postprocessors.text.1.log_logit_scale": (),
    "modality_postprocessors.audio.1.log_logit_scale": (),
}


def test_official_names_and_shapes():
    with torch.device("meta"):
        state = BindModel(HUGE).state_dict()
    assert {name: tuple(state[name].shape) for name in OFFICIAL} == OFFICIAL
    assert "modality_trunks.vision.blocks.0.attn.bias_k" not in state
    assert "modality_trunks.text.pre_transformer_layer.0.weight" not in state


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    stem = tuple(StemLayer(channels=16, kernel=4, stride=2) for _ in range(2))
    trunk = {"width": 16, "depth": 2, "heads": 2}
    config = BindConfig(
        embed_dim=8,
        vocab_size=12,
        context_length=6,
        trunks={
            "vision": TrunkConfig(
                **trunk, input_size=(16, 16), channels=3, stem=stem, pre_norm=True
            ),
            "text": TrunkConfig(**trunk, logit_scale=14.0, learnt_scale=True),
            "audio": TrunkConfig(
                **trunk, input_size=(8, 20), bias_kv=True, stem_norm=True, logit_scale=20.0,
                stem=(StemLayer(channels=16, kernel=4, stride=3),),
            ),
        },
    )  # fmt: skip
    return BindModel(config).eval()


def test_text_ignores_what_follows_its_end(tiny):
    ids = torch.tensor([[1, 3, 4, 11, 0, 0]])
    with torch.no_grad():
        ended = tiny.embed("text", ids)
        padded = tiny.embed("text", torch.tensor([[1, 3, 4, 11, 5, 6]]))
        other = tiny.embed("text", torch.tensor([[1, 3, 5, 11, 0, 0]]))
    torch.testing.assert_close(ended, padded)  # causal mask, pooled at the highest id
    assert (ended - other).abs().max() > 1e-3


def test_scaled_embeddings_have_their_length(tiny):
    x = torch.rand(3, 1, 8, 20)
    with torch.no_grad():
        scaled, unit = tiny.scaled("audio", x), tiny.embed("audio", x)
    torch.testing.assert_close(scaled.norm(dim=-1), torch.full((3,), 20.0))
    torch.testing.assert_close(normalize(scaled, dim=-1), unit)


def test_attention_against_its_definition(tiny):
    """One block by hand in float64: pre-norm attention with an extra key and value."""
    block = tiny.modality_trunks["audio"].blocks[0].double()
    x = torch.randn(1, 5, 16, dtype=torch.float64)
    h = block.norm_1(x)[0]
    q, k, v = (h @ block.attn.in_proj_weight.T + block.attn.in_proj_bias).split(16, -1)
    k, v = torch.cat([k, block.attn.bias_k[0]]), torch.cat([v, block.attn.bias_v[0]])
    heads = []
    for a in range(2):
        part = slice(8 * a, 8 * a + 8)
        weight = (q[:, part] @ k[:, part].T / 8**0.5).softmax(-1)
        heads.append(weight @ v[:, part])
    mid = x[0] + block.attn.out_proj(torch.cat(heads, -1))
    want = mid + block.mlp(block.norm_2(mid))
    torch.testing.assert_close(block(x, None)[0], want)


def test_config_round_trip():
    import dataclasses
    import json

    raw = json.loads(json.dumps(dataclasses.asdict(HUGE)))
    assert BindConfig.from_dict(raw) == HUGE
