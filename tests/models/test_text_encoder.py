"""The text encoder of a 2D prior against a loop in float64 over tokens, layers and heads."""

import math

import pytest
import torch
from tiny_sources import write_tables
from transformers import CLIPTextConfig, CLIPTextModel

from xbind.models.text_encoder import TextEncoder
from xbind.models.tokenizer import BpeTokenizer

WIDTH, HEADS, LAYERS, LENGTH = 16, 2, 3, 12
BEGIN, END = 512, 513


@pytest.fixture
def encoder(tmp_path):
    torch.manual_seed(0)
    config = CLIPTextConfig(
        hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_attention_heads=HEADS,
        num_hidden_layers=LAYERS, max_position_embeddings=LENGTH, vocab_size=514,
        hidden_act="gelu", bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    net = CLIPTextModel(config).eval().requires_grad_(False)
    for x in net.parameters():
        x.add_(0.1 * torch.randn(x.shape))
    write_tables(tmp_path)
    tokenizer = BpeTokenizer(tmp_path / "vocab.json", tmp_path / "merges.txt", LENGTH)
    return TextEncoder(net, tokenizer, pad=7)


def norm(x, weight, bias):
    centred = x - x.sum() / len(x)
    return centred / math.sqrt(float(centred @ centred) / len(x) + 1e-5) * weight + bias


def gelu(x):
    return torch.tensor([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.tolist()]).to(x)


def attended(q, k, v):
    """Of one head: what the last of some tokens takes from all of them."""
    scores = [math.exp(float(q @ key) / math.sqrt(len(q))) for key in k]
    return sum(score / sum(scores) * value for score, value in zip(scores, v, strict=True))


def by_hand(state, ids):
    """The tower and its last norm, token by token and head by head, in float64."""
    p = {k.removeprefix("text_model."): x.double() for k, x in state.items()}

    def of(name):
        return p[f"{name}.weight"], p[f"{name}.bias"]

    def affine(x, name):
        weight, bias = of(name)
        return weight @ x + bias

    places = p["embeddings.position_embedding.weight"]
    tokens = p["embeddings.token_embedding.weight"]
    x = [tokens[i] + place for i, place in zip(ids, places, strict=True)]
    d = WIDTH // HEADS
    for block in (f"encoder.layers.{layer}" for layer in range(LAYERS)):
        h = [norm(row, *of(f"{block}.layer_norm1")) for row in x]
        q, k, v = ([affine(row, f"{block}.self_attn.{n}_proj") for row in h] for n in "qkv")
        for place in range(len(ids)):
            before = slice(place + 1)  # no token sees those behind it
            mixed = [
                attended(q[place][own], [y[own] for y in k[before]], [y[own] for y in v[before]])
                for own in (slice(i * d, (i + 1) * d) for i in range(HEADS))
            ]
            row = x[place] + affine(torch.cat(mixed), f"{block}.self_attn.out_proj")
            inside = gelu(affine(norm(row, *of(f"{block}.layer_norm2")), f"{block}.mlp.fc1"))
            x[place] = row + affine(inside, f"{block}.mlp.fc2")
    return torch.stack([norm(row, *of("final_layer_norm")) for row in x])


def test_contexts_are_those_of_a_loop_in_float64(encoder):
    letters = encoder.tokenizer.tokens("Mug")
    assert len(letters) == 3
    found = encoder.encode(["", "Mug"])
    assert found.shape == (2, LENGTH, WIDTH)
    state = encoder.model.state_dict()
    for context, text in zip(found, ([], letters), strict=True):
        ids = [BEGIN, *text, END]
        want = by_hand(state, ids + [7] * (LENGTH - len(ids)))
        torch.testing.assert_close(context.double(), want, rtol=1e-4, atol=1e-5)


def test_a_text_may_fill_every_place_and_no_more(encoder):
    assert encoder.encode(["m" * (LENGTH - 2)]).isfinite().all()
    with pytest.raises(ValueError, match="11 tokens do not fit 10 places"):
        encoder.encode(["m" * (LENGTH - 1)])
