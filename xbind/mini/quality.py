"""Measure the two priors of a bundle on held-out objects: `python -m xbind.mini.quality --out F`.

Writes `quality.json` and the sheets: samples of the 2D prior, also under its view words, the
candidates for reference views after the chosen ones, novel views of the 3D prior, and normal maps
that both denoise. The encoders and the VAE are measured while they train
(`python -m xbind.mini.train`), by the figures in their logs.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from xbind.algorithm.reference_view import (
    condition_unclip,
    ddim,
    embed_reference_image,
    sample_unclip,
)
from xbind.conditioning.audio import fbank_clips
from xbind.config.presets import default
from xbind.diffusion.latents import decode, encode
from xbind.diffusion.priors import Prior2d, Zero123Prior
from xbind.errors import XBindError, printable
from xbind.mini.judging import recognise
from xbind.mini.sample_quality import measure_samples
from xbind.mini.sheet import save_sheet
from xbind.mini.train.data import as_image, on_white, psnr
from xbind.mini.view_words import measure_view_words
from xbind.mini.world.captions import prompts
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES, build
from xbind.mini.world.dataset import HELD_OUT_SEED
from xbind.mini.world.draw import draw_from_seed
from xbind.mini.world.render import render
from xbind.mini.world.sounds import synthesise
from xbind.models.convnet import ConvNet
from xbind.models.preprocess import normalise_image
from xbind.networks.frozen import Bundle
from xbind.networks.load import load_bundle, load_convnet
from xbind.networks.manifest import load_manifest
from xbind.scene.cameras import Cameras, relative_pose

STEPS = 20
"""DDIM steps."""
CFG_2D, CFG_3D = 3.0, 2.5
"""Guidance scales, the default preset's."""
NORMALS_T = 500
"""Timestep from which normal maps are denoised: the most noise that Phase II adds."""
SOUNDS = 4
"""Sounds per category."""
REFERENCE = (20.0, 40.0)
"""Elevation and azimuth of reference views, in degrees."""
NOVEL = ((10.0, 100.0), (0.0, 160.0), (20.0, -80.0))
"""Elevations and azimuths of the novel views."""
_STREAM = 79
"""Keeps these objects apart from all others."""


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """Returns a held-out object of every category, seen from the reference pose and novel ones."""

    colour: Float[Tensor, "k v 3 s s"]
    normals: Float[Tensor, "k v 3 s s"]
    colours: list[int]
    """Index of each object's colour."""


def held_out() -> Held:
    """Render one new object of every category."""
    views, colours = [], []
    for k, category in enumerate(CATEGORIES):
        draw = draw_from_seed(HELD_OUT_SEED, _STREAM, k)
        colours.append((3 * k) % len(COLOUR_NAMES))
        mesh = build(category, COLOUR_NAMES[colours[-1]], draw.generator)
        views.append(render(mesh, _poses()))
    return Held(
        torch.stack([on_white(view.rgba) for view in views]),
        torch.stack([as_image(view.normals) for view in views]),
        colours,
    )


def _poses() -> Cameras:
    elevation, azimuth = torch.tensor([REFERENCE, *NOVEL]).unbind(1)
    return Cameras(
        elevation, azimuth, torch.full_like(azimuth, 2.5), torch.full_like(azimuth, 40.0)
    )


def _share(right: Tensor) -> float:
    return float(right.float().mean())


def measure_text(bundle: Bundle, judge: ConvNet) -> tuple[Mapping[str, float], Tensor]:
    """Returns a sample of the 2D prior for each of the 136 prompts."""
    encoder, generator = bundle.bind, torch.Generator().manual_seed(0)
    ids = torch.tensor([encoder.tokenizer.encode(words).ids for words in prompts()])
    with torch.inference_mode():
        embedding = encoder.norms["text"] * encoder.model.embed("text", ids)
    images = _sample(bundle, embedding, generator)
    category, colour = recognise(judge, images)
    wanted = torch.arange(len(images))
    is_category = category == wanted // len(COLOUR_NAMES)
    is_colour = colour == wanted % len(COLOUR_NAMES)
    figures = {
        "text_category": _share(is_category),
        "text_colour": _share(is_colour),
        "text_both": _share(is_category & is_colour),
    }
    return figures, images.view(len(CATEGORIES), len(COLOUR_NAMES), *images.shape[1:])


def measure_audio(bundle: Bundle, judge: ConvNet) -> tuple[Mapping[str, float], Tensor]:
    """`SOUNDS` samples of the 2D prior per category, each from another sound."""
    encoder, generator = bundle.bind, torch.Generator().manual_seed(1)
    embeddings = []
    for k, category in enumerate(CATEGORIES):
        for i in range(SOUNDS):
            draw = draw_from_seed(HELD_OUT_SEED, _STREAM, k, i)
            wave = torch.from_numpy(synthesise(category, draw.generator))
            clips = fbank_clips(wave, encoder.fbank)
            with torch.inference_mode():
                embeddings.append(encoder.model.embed("audio", clips).mean(0))
    unit = normalize(torch.stack(embeddings), dim=-1)
    images = _sample(bundle, encoder.norms["audio"] * unit, generator)
    wanted = torch.arange(len(images)) // SOUNDS
    named, _ = recognise(judge, images)
    return {"audio_category": _share(named == wanted)}, images.view(
        len(CATEGORIES), SOUNDS, *images.shape[1:]
    )


def _sample(bundle: Bundle, embedding: Tensor, generator: torch.Generator) -> Tensor:
    labels = condition_unclip(embedding, bundle.unclip, generator)
    return sample_unclip(
        bundle.unclip, labels, count=len(labels), steps=STEPS,
        cfg_scale=CFG_2D, generator=generator,
    ).clamp(0, 1)  # fmt: skip


def measure_views(bundle: Bundle, judge: ConvNet, held: Held) -> tuple[Mapping[str, float], Tensor]:
    """Novel views sampled by the 3D prior, beside the true ones.

    Of a prior that was trained on some of the categories, these and the others apart as well.
    """
    zero123, generator = bundle.zero123, torch.Generator().manual_seed(2)
    count, novel = len(CATEGORIES), len(NOVEL)
    token, reference = _zero123_condition(bundle, held, range(1, novel + 1))
    prior, scale = Zero123Prior(zero123.unet), torch.tensor(CFG_3D)
    z = torch.randn(reference.shape, generator=generator)
    z = ddim(
        zero123.schedule, z, STEPS, lambda z_t, t: prior(z_t, t, token, reference, scale),
    )  # fmt: skip
    with torch.inference_mode():
        images = decode(zero123.vae, z).clamp(0, 1)
    truth = held.colour[:, 1:].flatten(0, 1)
    category, colour = recognise(judge, images)
    wanted = torch.arange(count).repeat_interleave(novel)
    is_category = category == wanted
    is_colour = colour == torch.tensor(held.colours).repeat_interleave(novel)
    true_category, _ = recognise(judge, truth)
    known = bundle.manifest.prior_3d.categories
    figures = {
        "views_category": _share(is_category),
        "views_both": _share(is_category & is_colour),
        "views_category_truth": _share(true_category == wanted),
        "views_psnr_db": float(psnr((images - truth).square().mean((1, 2, 3))).mean()),
    }
    if known and len(known) < count:
        seen = torch.tensor([name in known for name in CATEGORIES]).repeat_interleave(novel)
        error = (images - truth).square().mean((1, 2, 3))
        for name, rows in (("seen", seen), ("unseen", ~seen)):
            figures[f"views_both_{name}"] = _share((is_category & is_colour)[rows])
            figures[f"views_psnr_db_{name}"] = float(psnr(error[rows]).mean())
    sheet = torch.cat([held.colour, images.view(count, novel, *images.shape[1:])], 1)
    return figures, sheet


def _zero123_condition(bundle: Bundle, held: Held, views: range) -> tuple[Tensor, Tensor]:
    """Tokens and reference latents, object by object and view by view."""
    zero123, poses, count = bundle.zero123, _poses(), len(held.colour)
    with torch.inference_mode():
        embedding = embed_reference_image(held.colour[:, 0], zero123)
        latent = encode(zero123.vae, held.colour[:, 0]) / zero123.vae.config.scaling_factor
        rows = torch.tensor(list(views))
        relative = relative_pose(poses.at(rows), poses.at(slice(0, 1)))
        embedding, seen, latent = (
            x.repeat_interleave(len(views), 0)
            for x in (embedding, zero123.seen_pose(held.colour[:, 0]), latent)
        )
        return zero123.token(embedding, seen, relative.repeat(count, 1)), latent


def measure_normals(bundle: Bundle, held: Held) -> tuple[Mapping[str, float], Tensor]:
    """Normal maps noised at `NORMALS_T` and denoised by either prior, beside the VAE's own copy."""
    generator = torch.Generator().manual_seed(3)
    truth, unclip, zero123 = held.normals[:, 1], bundle.unclip, bundle.zero123
    with torch.inference_mode():
        pixels = normalise_image(held.colour[:, 0])
        embedding = bundle.bind.norms["vision"] * bundle.bind.model.embed("vision", pixels)
        z = encode(unclip.vae, truth)
        copied = decode(unclip.vae, z)
    noise = torch.randn(z.shape, generator=generator)
    noisy = unclip.schedule.add_noise(z, noise, torch.full((len(z),), NORMALS_T))
    labels = condition_unclip(embedding, bundle.unclip, generator)
    token, reference = _zero123_condition(bundle, held, range(1, 2))
    planar, stereo = Prior2d(unclip.unet), Zero123Prior(zero123.unet)
    scale_2d, scale_3d = torch.tensor(CFG_2D), torch.tensor(CFG_3D)
    told = (labels, unclip.null_context, unclip.null_context, scale_2d)
    by_2d = ddim(
        unclip.schedule, noisy, STEPS // 2,
        lambda z_t, t: planar(z_t, t, *told), start=NORMALS_T,
    )  # fmt: skip
    by_3d = ddim(
        zero123.schedule, noisy, STEPS // 2,
        lambda z_t, t: stereo(z_t, t, token, reference, scale_3d), start=NORMALS_T,
    )  # fmt: skip
    with torch.inference_mode():
        shown = [decode(unclip.vae, x).clamp(0, 1) for x in (noisy, by_2d, by_3d)]

    def quality(x: Tensor) -> float:
        return float(psnr((x - truth).square().mean((1, 2, 3))).mean())

    figures = {
        "normals_vae_psnr_db": quality(copied),
        "normals_noisy_psnr_db": quality(shown[0]),
        "normals_2d_psnr_db": quality(shown[1]),
        "normals_3d_psnr_db": quality(shown[2]),
    }
    return figures, torch.stack([truth, copied.clamp(0, 1), *shown], 1)


def main(arguments: list[str] | None = None) -> None:
    """Read the options, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of figures and sheets")
    parser.add_argument("--bundle", default="mini", help="`mini`, or a bundle's folder")
    parser.add_argument("--prior-3d", help="name of a 3D prior of the bundle; default: its default")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        manifest = load_manifest(given.bundle).with_prior_3d(given.prior_3d)
        bundle, judge = load_bundle(manifest), load_convnet(manifest.part("judge"))
    except XBindError as error:
        sys.exit(str(error))
    given.out.mkdir(parents=True, exist_ok=True)
    held = held_out()
    text, text_sheet = measure_text(bundle, judge)
    audio, audio_sheet = measure_audio(bundle, judge)
    views, views_sheet = measure_views(bundle, judge, held)
    normals, normals_sheet = measure_normals(bundle, held)
    samples, samples_sheet = measure_samples(bundle, judge, default().reference)
    figures_of = [text, audio, samples, views, normals]
    if manifest.has_view_words:
        words, words_sheet = measure_view_words(bundle, judge, steps=STEPS)
        figures_of.append(words)
        save_sheet(given.out / "view_words.png", words_sheet)
    save_sheet(given.out / "unclip.png", torch.cat([text_sheet[:, :6], audio_sheet[:, :2]], 1))
    save_sheet(given.out / "candidates.png", samples_sheet)
    save_sheet(given.out / "zero123.png", views_sheet, columns=2)
    save_sheet(given.out / "normals.png", normals_sheet, columns=2)
    joined = {name: x for figures in figures_of for name, x in figures.items()}
    figures = json.dumps(joined, indent=2) + "\n"
    (given.out / "quality.json").write_text(figures)
    sys.stdout.write(printable(figures))


if __name__ == "__main__":
    main()
