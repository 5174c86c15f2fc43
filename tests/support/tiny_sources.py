"""Checkpoints of the public kinds with tiny random weights: folders, and the authors' own files."""

import json
from dataclasses import replace

import torch

DEPTH = 1


def tiny(full):
    """The reduced architecture with one block wherever there can be fewer."""
    trunks = {n: replace(t, depth=DEPTH) for n, t in full.bind.trunks.items()}
    shallow = {"num_hidden_layers": DEPTH}
    return replace(
        full,
        unet2d={**full.unet2d, "layers_per_block": 1},
        unet3d={**full.unet3d, "layers_per_block": 1},
        vae={**full.vae, "layers_per_block": 1},
        clip={**full.clip, **shallow},
        image_encoder={**full.image_encoder, **shallow},
        text={**full.text, **shallow},
        bind=replace(full.bind, trunks=trunks),
    )


def networks(a, bind_class, seed=0):
    """Every network of an architecture by name, no two parameters alike."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    torch.manual_seed(seed)
    d = a.image_encoder["projection_dim"]
    nets = {
        "unet2d": UNet2DConditionModel.from_config(dict(a.unet2d)),
        "unet3d": UNet2DConditionModel.from_config(dict(a.unet3d)),
        "vae2d": AutoencoderKL.from_config(dict(a.vae)),
        "vae3d": AutoencoderKL.from_config(dict(a.vae)),
        "clip": CLIPVisionModelWithProjection(CLIPVisionConfig(**a.clip)),
        "image_encoder": CLIPVisionModelWithProjection(CLIPVisionConfig(**a.image_encoder)),
        "text": CLIPTextModel(CLIPTextConfig(**a.text)),
        "projection": torch.nn.Linear(d + 4, a.unet3d["cross_attention_dim"]),
        "bind": bind_class(a.bind),
    }
    for net in nets.values():
        net.eval().requires_grad_(False)
        for x in net.parameters():
            x.add_(0.02 * torch.randn(x.shape))
    return nets


def write_tables(folder):
    """CLIP's byte-pair tables without a merge."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    tokens = letters + [f"{letter}</w>" for letter in letters]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "pad_token": "!", "model_max_length": 77})
    )


def write_folders(folder, a, nets, mean, std):
    """unCLIP and Zero-1-to-3 as diffusers saves them, ImageBind as its authors do."""
    from diffusers import DDIMScheduler, DDPMScheduler
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import (
        StableUnCLIPImageNormalizer,
    )

    normaliser = StableUnCLIPImageNormalizer(a.bind.embed_dim)
    normaliser.load_state_dict({"mean": mean, "std": std})
    for path, net in {
        "unclip/unet": nets["unet2d"],
        "unclip/vae": nets["vae2d"],
        "unclip/text_encoder": nets["text"],
        "unclip/image_encoder": nets["clip"],
        "unclip/image_normalizer": normaliser,
        "unclip/scheduler": DDIMScheduler(**a.scheduler2d),
        "unclip/image_noising_scheduler": DDPMScheduler(**a.noising),
        "zero123/unet": nets["unet3d"],
        "zero123/vae": nets["vae3d"],
        "zero123/image_encoder": nets["image_encoder"],
        "zero123/scheduler": DDIMScheduler(**a.scheduler3d),
    }.items():
        net.save_pretrained(folder / path)
    write_tables(folder / "unclip/tokenizer")
    camera = folder / "zero123/cc_projection"
    camera.mkdir()
    state = {f"projection.{k}": v for k, v in nets["projection"].state_dict().items()}
    torch.save(state, camera / "diffusion_pytorch_model.bin")
    torch.save(nets["bind"].state_dict(), folder / "imagebind.pth")


def write_files(folder, nets, beside=None):
    """unCLIP and Zero-1-to-3 as their authors' training code saves them, in one file each."""
    unclip = {
        **ldm_unet(nets["unet2d"]),
        **ldm_vae(nets["vae2d"]),
        **_under("cond_stage_model.model.", open_clip_text(nets["text"])),
        **_under("embedder.model.visual.", open_clip_vision(nets["clip"])),
    }
    zero123 = {
        **ldm_unet(nets["unet3d"]),
        **ldm_vae(nets["vae3d"]),
        **_under("cond_stage_model.model.visual.", open_clip_vision(nets["image_encoder"])),
        **_under("cc_projection.", nets["projection"].state_dict()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": unclip, "global_step": 7}, folder / "unclip.ckpt")
    torch.save({"state_dict": zero123, **(beside or {})}, folder / "zero123.ckpt")


def sd_base_networks(a, seed=5):
    """The networks of Stable Diffusion 2.1-base by the name of their folder."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    nets = {
        "unet": UNet2DConditionModel.from_config(dict(a.sd_base)),
        "vae": AutoencoderKL.from_config(dict(a.vae)),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**a.text)),
    }
    for net in nets.values():
        net.eval().requires_grad_(False)
        for x in net.parameters():
            x.add_(0.02 * torch.randn(x.shape))
    return nets


def write_sd_base(folder, nets, scheduler):
    """Stable Diffusion 2.1-base as diffusers saves it, and `sd_base.safetensors` beside it."""
    from diffusers import DDIMScheduler
    from safetensors.torch import save_file

    for name, net in nets.items():
        net.save_pretrained(folder / name)
    DDIMScheduler(**scheduler).save_pretrained(folder / "scheduler")
    write_tables(folder / "tokenizer")
    text = _under("cond_stage_model.model.", open_clip_text(nets["text_encoder"]))
    state = {**ldm_unet(nets["unet"]), **ldm_vae(nets["vae"]), **text}
    state = {name: x.clone().contiguous() for name, x in state.items()}
    save_file(state, folder.parent / "sd_base.safetensors")
    return folder


def with_averages(state, averages):
    """A checkpoint with `averages` of its UNet as latent-diffusion's `LitEma` keeps them."""
    undotted = {k.removeprefix("model.").replace(".", ""): x for k, x in averages.items()}
    counters = {"decay": torch.tensor(0.9999), "num_updates": torch.tensor(105000)}
    return state | _under("model_ema.", undotted | counters)


def _under(prefix, state):
    return {prefix + k: v for k, v in state.items()}


RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip


def ldm_unet(net):
    """Parameters of a UNet under the names of latent-diffusion's `UNetModel`."""
    single = {
        "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
        "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "class_embedding.linear_1": "label_emb.0.0", "class_embedding.linear_2": "label_emb.0.2",
        "mid_block.attentions.0": "middle_block.1",
    }  # fmt: skip
    per = net.config.layers_per_block
    renamed = {}
    for name, x in net.state_dict().items():
        module, _, kind = name.rpartition(".")
        parts = name.split(".")
        head = next((k for k in single if module == k or module.startswith(f"{k}.")), None)
        if head is not None:
            new = single[head] + name.removeprefix(head)
        elif parts[0] == "mid_block":
            new = f"middle_block.{2 * int(parts[2])}.{RESNET[parts[3]]}.{kind}"
        else:
            new = _ldm_level(parts, per)
        renamed[f"model.diffusion_model.{new}"] = x
    return renamed


def _ldm_level(parts, per):
    side, level, what, index, *rest = parts
    level, index = int(level), int(index)
    if side == "down_blocks":
        if what == "downsamplers":
            return f"input_blocks.{(per + 1) * (level + 1)}.0.op.{rest[-1]}"
        block = f"input_blocks.{1 + (per + 1) * level + index}"
    else:
        block = f"output_blocks.{(per + 1) * level + index}"
        if what == "upsamplers":  # the last layer of its level; with attention it comes third
            block = f"output_blocks.{(per + 1) * level + per}"
            return f"{block}.{1 if level == 0 else 2}.conv.{rest[-1]}"
    if what == "resnets":
        return f"{block}.0.{RESNET[rest[0]]}.{rest[-1]}"
    return ".".join([block, "1", *rest])


def ldm_vae(net):
    """Parameters of a VAE under the names of latent-diffusion's `AutoencoderKL`."""
    attention = {
        "to_q": "q",
        "to_k": "k",
        "to_v": "v",
        "to_out.0": "proj_out",
        "group_norm": "norm",
    }
    last = len(net.config.block_out_channels) - 1
    renamed = {}
    for name, x in net.state_dict().items():
        new = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        parts = new.split(".")
        if "mid_block.attentions" in new:
            inside, kind = ".".join(parts[4:-1]), parts[-1]
            new = f"{parts[0]}.mid.attn_1.{attention[inside]}.{kind}"
            x = x[:, :, None, None] if x.ndim == 2 else x  # a convolution of one pixel there
        elif "mid_block.resnets" in new:
            new = ".".join([parts[0], "mid", f"block_{int(parts[3]) + 1}", *parts[4:]])
        elif "blocks" in new:
            up = parts[1] == "up_blocks"
            level = last - int(parts[2]) if up else int(parts[2])
            side = "up" if up else "down"
            rest = ["block", *parts[4:]] if parts[3] == "resnets" else [f"{side}sample", *parts[5:]]
            new = ".".join([parts[0], side, str(level), *rest])
        renamed[f"first_stage_model.{new}"] = x
    return renamed


def _open_clip_blocks(state, prefix):
    names = {
        "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj", "self_attn.out_proj": "attn.out_proj",
    }  # fmt: skip
    renamed = {}
    for i in range(DEPTH):
        layer, block = f"{prefix}encoder.layers.{i}", f"transformer.resblocks.{i}"
        for kind in ("weight", "bias"):
            for old, new in names.items():
                renamed[f"{block}.{new}.{kind}"] = state[f"{layer}.{old}.{kind}"]
            qkv = [state[f"{layer}.self_attn.{p}_proj.{kind}"] for p in "qkv"]
            renamed[f"{block}.attn.in_proj_{kind}"] = torch.cat(qkv)
    return renamed


def open_clip_vision(net):
    """A CLIP image tower under the names of OpenAI's and OpenCLIP's code."""
    state, p = net.state_dict(), "vision_model."
    renamed = _open_clip_blocks(state, p) | {
        "conv1.weight": state[p + "embeddings.patch_embedding.weight"],
        "class_embedding": state[p + "embeddings.class_embedding"],
        "positional_embedding": state[p + "embeddings.position_embedding.weight"],
        "proj": state["visual_projection.weight"].T.contiguous(),
    }
    for old, new in (("pre_layrnorm", "ln_pre"), ("post_layernorm", "ln_post")):
        for kind in ("weight", "bias"):
            renamed[f"{new}.{kind}"] = state[f"{p}{old}.{kind}"]
    return renamed


def open_clip_text(net):
    """A CLIP text tower under OpenCLIP's names, with the last block that the prior leaves out."""
    # transformers writes the prefix of a lone tower in some versions
    state = {name.removeprefix("text_model."): x for name, x in net.state_dict().items()}
    renamed = _open_clip_blocks(state, "") | {
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "ln_final.weight": state["final_layer_norm.weight"],
        "ln_final.bias": state["final_layer_norm.bias"],
        "text_projection": torch.randn(4, 4),
        "logit_scale": torch.tensor(4.6),
    }
    last = f"transformer.resblocks.{DEPTH - 1}."
    extra = f"transformer.resblocks.{DEPTH}."
    more = {k.replace(last, extra): v + 1 for k, v in renamed.items() if k.startswith(last)}
    return renamed | more
