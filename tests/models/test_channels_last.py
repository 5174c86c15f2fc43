"""Networks of diffusers with channels last and fused norms: the same numbers, the same graph."""

import copy

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from xbind.export.record import record
from xbind.models import channels_last as module
from xbind.models.channels_last import FusedGroupNorm, channels_last

WIDTHS = (8, 16)


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 2,
             "up_block_types": ("UpDecoderBlock2D",) * 2}  # fmt: skip
    net = AutoencoderKL(block_out_channels=WIDTHS, norm_num_groups=4, latent_channels=4, **kinds)
    return frozen(net)


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(1)
    net = UNet2DConditionModel(
        sample_size=8, block_out_channels=WIDTHS, norm_num_groups=4, cross_attention_dim=8,
        attention_head_dim=4, layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    return frozen(net)


def frozen(net):
    """With norms that are not the identity map."""
    for layer in net.modules():
        if isinstance(layer, nn.GroupNorm):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return net.eval().requires_grad_(False)


def norms(net):
    return [layer for layer in net.modules() if isinstance(layer, nn.GroupNorm | FusedGroupNorm)]


def test_an_autoencoder_computes_the_same(vae, rng):
    fused = channels_last(copy.deepcopy(vae))
    image = torch.rand(2, 3, 16, 16, generator=rng)
    bar = torch.randn(2, 4, 8, 8, generator=rng)
    results = []
    for net in (vae, fused):
        leaf = image.clone().requires_grad_()
        z = net.encode(leaf).latent_dist.mode()
        results.append((z, torch.autograd.grad(z, leaf, bar)[0], net.decode(bar).sample))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


def test_a_unet_computes_the_same(unet, rng):
    fused = channels_last(copy.deepcopy(unet))
    sample = torch.randn(2, 4, 8, 8, generator=rng)
    states = torch.randn(2, 3, 8, generator=rng)
    want, got = (net(sample, 10, states).sample for net in (unet, fused))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["vae", "unet"])
def test_every_norm_is_fused_and_every_silu_after_one_is_gone(name, request):
    plain = request.getfixturevalue(name)
    fused = channels_last(copy.deepcopy(plain))
    assert all(type(layer) is FusedGroupNorm for layer in norms(fused))
    assert len(norms(fused)) == len(norms(plain))
    in_attention = sum(not layer.silu for layer in norms(fused))
    assert in_attention == {"vae": 2, "unet": 4}[name]
    kernels = [p for p in fused.parameters() if p.ndim == 4 and p.shape[-1] > 1]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    again = channels_last(fused)
    assert len(norms(again)) == len(norms(plain))


def test_a_recording_holds_torchs_own_operations(vae):
    class Encode(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, image):
            return self.net.encode(image).latent_dist.mode()

    ops = []
    for net in (vae, channels_last(copy.deepcopy(vae))):
        recording = record(Encode(net), {"image": torch.rand(1, 3, 16, 16)}, ["z"])
        names = [str(call.op) for call in recording.calls]
        ops.append([name for name in names if "norm" in name or "silu" in name])
    assert ops[1] == ops[0]
    assert ops[1].count("aten.native_group_norm.default") == len(norms(vae.encoder))


@pytest.mark.parametrize("silu", [False, True])
def test_on_cuda_it_is_one_operator(silu, monkeypatch):
    """A tensor without numbers says that it is on CUDA; nothing computes."""
    asked = []
    monkeypatch.setattr(module, "group_norm", lambda x, *_, **given: asked.append(given) or x)
    norm = FusedGroupNorm(nn.GroupNorm(4, 8, eps=1e-3), silu=silu)
    with FakeTensorMode(allow_non_fake_inputs=True):
        norm(torch.empty(1, 8, 2, 2, device="cuda"))
    assert asked == [{"groups": 4, "eps": 1e-3, "silu": silu}]


def test_other_blocks_are_left_alone(unet):
    """A block with another activation, or whose norm is shifted by the time embedding."""
    for attribute, value in (("nonlinearity", nn.GELU()), ("time_embedding_norm", "scale_shift")):
        block = copy.deepcopy(unet.down_blocks[1].resnets[0])
        setattr(block, attribute, value)
        channels_last(block)
        assert type(block.norm1) is nn.GroupNorm
        assert type(block.time_emb_proj) is nn.Linear
