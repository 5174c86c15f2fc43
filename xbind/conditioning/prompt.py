"""A prompt of any modality, or a weighted mix, to C_m."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from xbind.conditioning.audio import fbank_clips, load_audio
from xbind.conditioning.depth import load_depth, normalise_depth
from xbind.conditioning.depth_background import cut_near
from xbind.conditioning.errors import PromptError, text_for_prior
from xbind.conditioning.foreground import Foreground, find_foreground
from xbind.conditioning.given_mask import load_mask
from xbind.conditioning.image import (
    MARGIN,
    SquareImage,
    load_image,
    to_square,
)
from xbind.conditioning.imu import load_motion
from xbind.conditioning.text import TextPrompt, encode_for_prior, encode_text
from xbind.conditioning.thermal import load_thermal
from xbind.conditioning.understood import Reading, understand
from xbind.conditioning.video import load_clips
from xbind.config.options import Modality, PromptConfig
from xbind.models.bind_config import Modality as Trunk
from xbind.models.convnet import LOG_ZOOM, ConvNet
from xbind.models.preprocess import fit_image, normalise_image
from xbind.models.text_encoder import TextEncoder
from xbind.networks.frozen import AlignedEncoder

MAX_ELEVATION = 89.9
"""Largest elevation of a reference camera, in degrees."""
LEAST_MIX = 1e-3
"""Least length of a weighted mean of unit vectors; below it rounding decides its direction."""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """Embedding of a prompt in the aligned space."""

    c_m: Float[Tensor, " d"]
    """C_m, of length 1."""
    conditioning: Float[Tensor, " d"]
    """C_m at the length that the 2D prior was trained on."""
    image: SquareImage | None
    """The prompt's own picture, its object cut out: then it is the reference view."""
    warnings: tuple[str, ...]
    """Notices for the user, such as the share of a sound that was encoded."""
    understood: tuple[Reading, ...] = ()
    """Nearest names of each modality and of the mix; empty if the bundle has no names."""
    foreground: Foreground | None = None
    """The mask of the prompt's own picture, at the size at which it was read."""
    elevation_deg: float | None = None
    """From where the prompt's picture shows the object, as the user gave it, in (−90, 90)."""
    azimuth_deg: float | None = None
    """As `elevation_deg`, in [−180, 180)."""
    contexts: Float[Tensor, "n l c"] | None = None
    """The text with each of `VIEW_WORDS`, encoded for a 2D prior that reads nothing else."""

    def to(self, device: torch.device) -> "EncodedPrompt":
        """The same on another device."""
        image = self.image
        if image is not None:
            image = SquareImage(image.rgb.to(device), image.mask.to(device))
        contexts = None if self.contexts is None else self.contexts.to(device)
        return replace(
            self, c_m=self.c_m.to(device), conditioning=self.conditioning.to(device), image=image,
            contexts=contexts,
        )  # fmt: skip


def encode_prompt(
    prompt: PromptConfig,
    encoder: AlignedEncoder,
    image_size: int,
    *,
    view: ConvNet | None = None,
    text_encoder: TextEncoder | None = None,
) -> EncodedPrompt:
    """Embed each modality of a prompt and mix the unit vectors by their weights.

    C_m = Σ_i w_i e_i / ‖Σ_i w_i e_i‖; its conditioning length is the mean of the modalities' own,
    by the same weights.

    Args:
        prompt: what the user gave.
        encoder: the aligned encoder.
        image_size: side of the reference view, in pixels.
        view: estimates how large a picture's object should appear; by default all fill as much of
            the reference view.
        text_encoder: of a 2D prior that reads the prompt's text alone.

    Raises:
        PromptError: a file or a text that cannot be used; the 2D prior wants a text and there is
            none.
    """
    if not prompt.given():
        raise PromptError("The prompt is empty: nothing says what to make.")
    warnings: list[str] = []
    image: SquareImage | None = None
    foreground: Foreground | None = None
    shares = _shares(prompt)
    embeddings: dict[Modality, Tensor] = {}
    mixed = torch.zeros(encoder.model.config.embed_dim, device=encoder.device)
    length = 0.0
    for modality in prompt.given():
        _check_known(modality, encoder)
        share = shares[modality]
        if modality == "image":
            rgb, foreground = _picture(prompt)
            if (doubt := foreground.warning(str(prompt.image))) is not None:
                warnings.append(doubt)
            image = _framed(rgb, foreground.mask, image_size, view, encoder.device)
            embedding = _embed_image(image, encoder)
        else:
            embedding = _EMBED[modality](prompt, encoder, warnings.append)
        _check_embedding(embedding, modality, prompt)
        embeddings[modality] = embedding
        mixed = mixed + share * embedding
        length += share * encoder.norms[_TRUNK[modality]]
    c_m = _unit(mixed, prompt)
    understood = understand(embeddings, c_m, encoder)
    elevation, azimuth = _given_pose(prompt)
    contexts = None
    if text_encoder is not None:
        contexts = encode_for_prior(text_for_prior(prompt), text_encoder)
        if others := [f"--{modality}" for modality in prompt.given() if modality != "text"]:
            warnings.append(f"the 2D prior reads the text alone, and not {', '.join(others)}")
    return EncodedPrompt(
        c_m, length * c_m, image, tuple(warnings), understood, foreground, elevation, azimuth,
        contexts,
    )  # fmt: skip


def _shares(prompt: PromptConfig) -> dict[Modality, float]:
    """The weights over their sum, scaled by a power of two first: the sum of two 1e308 is inf."""
    weights = {modality: prompt.weight(modality) for modality in prompt.given()}
    _, exponent = math.frexp(max(weights.values()))
    scaled = {modality: math.ldexp(weight, -exponent) for modality, weight in weights.items()}
    return {modality: weight / sum(scaled.values()) for modality, weight in scaled.items()}


def _check_embedding(embedding: Tensor, modality: Modality, prompt: PromptConfig) -> None:
    """Refuses what no loader has found: values at which the encoder overflows.

    Raises:
        PromptError: the embedding is not finite, or has no direction.
    """
    if not bool(torch.isfinite(embedding).all()) or float(embedding.norm()) < 0.5:
        raise PromptError(
            f"--{modality} {getattr(prompt, modality)} cannot be encoded: the encoder's result is "
            f"{_kind_of(embedding)}.\nGive another one, or bring its values to an ordinary range."
        )


def _unit(mixed: Float[Tensor, " d"], prompt: PromptConfig) -> Float[Tensor, " d"]:
    """The direction of a mix.

    Raises:
        PromptError: its parts cancel each other.
    """
    if float(mixed.norm()) < LEAST_MIX:
        raise PromptError(
            f"The embeddings of {', '.join(f'--{m}' for m in prompt.given())} cancel each other.\n"
            f"Change the weights, or leave one of them out."
        )
    return normalize(mixed, dim=0)


def _kind_of(embedding: Tensor) -> str:
    """Returns the fault of an embedding, or None."""
    if bool(embedding.isnan().any()):
        return "not a number (NaN)"
    return "zero" if bool(embedding.isfinite().all()) else "infinite"


def _given_pose(prompt: PromptConfig) -> tuple[float | None, float | None]:
    """Elevation short of the poles, where a camera has no up, and azimuth in [−180, 180)."""
    elevation, azimuth = prompt.elevation, prompt.azimuth
    if elevation is not None:
        elevation = min(max(elevation, -MAX_ELEVATION), MAX_ELEVATION)
    if azimuth is not None:
        azimuth = (azimuth + 180.0) % 360.0 - 180.0
    return elevation, azimuth


def _picture(prompt: PromptConfig) -> tuple[Float[Tensor, "3 h w"], Foreground]:
    """The prompt's picture and its object's mask: given, by a network, or found."""
    assert prompt.image is not None
    picture, name = load_image(prompt.image), str(prompt.image)
    if prompt.mask is not None:
        height, width = picture.rgb.shape[1:]
        return picture.rgb, load_mask(prompt.mask, (height, width), prompt.image)
    if prompt.matting_weights is not None:
        from xbind.conditioning.matting import matte  # onnxruntime, only where it is needed

        return picture.rgb, matte(picture.rgb, prompt.matting_weights, name)
    return picture.rgb, find_foreground(picture.rgb, picture.alpha, name)


def read_prompt(prompt: PromptConfig, encoder: AlignedEncoder) -> TextPrompt | None:
    """The text of a prompt as the encoder reads it, or None where the prompt has none.

    Raises:
        PromptError: the text cannot be read.
    """
    if prompt.text is None:
        return None
    return encode_text(
        prompt.text,
        encoder.tokenizer,
        encoder.groups,
        exact_words=prompt.exact_words,
        ignore_unknown=prompt.ignore_unknown,
    )


def _framed(
    rgb: Float[Tensor, "3 h w"],
    mask: Float[Tensor, "1 h w"],
    size: int,
    view: ConvNet | None,
    device: torch.device,
) -> SquareImage:
    """The picture's object, as large as it would appear from the reference camera."""
    image = to_square(rgb, mask, size)
    if view is None:
        return image
    with torch.inference_mode():
        zoom = 2 ** (float(view(image.rgb[None].to(device))[0, 3]) / LOG_ZOOM)
    share = min(max((1 - 2 * MARGIN) * zoom, 0.4), 0.95)
    return to_square(rgb, mask, size, margin=(1 - share) / 2)


def _check_known(modality: Modality, encoder: AlignedEncoder) -> None:
    """Refuse what the bundle cannot encode.

    Raises:
        PromptError: it has no trunk for it.
    """
    trunks = encoder.model.config.trunks
    if _TRUNK[modality] not in trunks:
        known = ", ".join(f"--{name}" for name, trunk in _TRUNK.items() if trunk in trunks)
        raise PromptError(
            f"This bundle cannot read --{modality}; it reads {known}.\n"
            f"Give one of these, or another bundle with --bundle."
        )


def embed_images(images: Float[Tensor, "b 3 h w"], encoder: AlignedEncoder) -> Float[Tensor, "b d"]:
    """Unit vectors of images in [0, 1], of any size."""
    size = encoder.model.config.trunks["vision"].input_size[0]
    return encoder.embed("vision", normalise_image(fit_image(images, size)))


def _embed_image(image: SquareImage, encoder: AlignedEncoder) -> Float[Tensor, " d"]:
    return embed_images(image.rgb[None], encoder)[0]


def _embed_text(
    prompt: PromptConfig, encoder: AlignedEncoder, warn: Callable[[str], None]
) -> Float[Tensor, " d"]:
    words = read_prompt(prompt, encoder)
    assert words is not None
    if words.reading is None and (prompt.exact_words or prompt.ignore_unknown):
        warn("--exact-words and --ignore-unknown change nothing: this bundle reads any word.")
    return encoder.embed("text", words.ids[None])[0]


def _embed_audio(
    prompt: PromptConfig, encoder: AlignedEncoder, warn: Callable[[str], None]
) -> Float[Tensor, " d"]:
    assert prompt.audio is not None
    sound = load_audio(prompt.audio, encoder.fbank)
    for note in sound.notes():
        warn(note)
    return _embed_clips("audio", fbank_clips(sound.waveform, encoder.fbank), encoder)


def _embed_clips(trunk: Trunk, clips: Tensor, encoder: AlignedEncoder) -> Float[Tensor, " d"]:
    """The direction of the mean over clips, as ImageBind takes it."""
    return normalize(encoder.embed(trunk, clips).mean(0), dim=0)


def _embed_depth(
    prompt: PromptConfig, encoder: AlignedEncoder, warn: Callable[[str], None]
) -> Float[Tensor, " d"]:
    assert prompt.depth is not None
    nearest, warning = cut_near(load_depth(prompt.depth, prompt.depth_kind))
    if warning is not None:
        warn(f"--depth {prompt.depth}: {warning}")
    inverse = normalise_depth(nearest, encoder.depth)
    size = encoder.model.config.trunks["depth"].input_size
    fitted = interpolate(inverse[None], size, mode="bilinear", antialias=True)
    return encoder.embed("depth", fitted)[0]


def _embed_video(
    prompt: PromptConfig, encoder: AlignedEncoder, _warn: Callable[[str], None]
) -> Float[Tensor, " d"]:
    assert prompt.video is not None
    trunk = encoder.model.config.trunks["vision"]
    clips = load_clips(prompt.video, size=trunk.input_size[0], frames=trunk.frames)
    return _embed_clips("vision", clips if trunk.frames > 1 else clips[:, :, 0], encoder)


def _embed_thermal(
    prompt: PromptConfig, encoder: AlignedEncoder, _warn: Callable[[str], None]
) -> Float[Tensor, " d"]:
    assert prompt.thermal is not None
    size = encoder.model.config.trunks["thermal"].input_size[0]
    return encoder.embed("thermal", fit_image(load_thermal(prompt.thermal)[None], size))[0]


def _embed_imu(
    prompt: PromptConfig, encoder: AlignedEncoder, _warn: Callable[[str], None]
) -> Float[Tensor, " d"]:
    assert prompt.imu is not None
    samples = encoder.model.config.trunks["imu"].input_size[1]
    return encoder.embed("imu", load_motion(prompt.imu, samples)[None])[0]


_TRUNK: dict[Modality, Trunk] = {
    "text": "text", "image": "vision", "audio": "audio", "depth": "depth", "video": "vision",
    "thermal": "thermal", "imu": "imu",
}  # fmt: skip
"""Modality of a prompt → trunk of the aligned encoder."""
_EMBED: dict[Modality, Callable[[PromptConfig, AlignedEncoder, Callable[[str], None]], Tensor]] = {
    "text": _embed_text,
    "audio": _embed_audio,
    "depth": _embed_depth,
    "video": _embed_video,
    "thermal": _embed_thermal,
    "imu": _embed_imu,
}
