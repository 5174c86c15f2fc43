"""Networks that are only sampled or encode, as modules from tensors to one tensor."""

from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from xbind.diffusion.latents import Vae, decode, encode
from xbind.models.bind_config import Modality


class UnitEmbedding(nn.Module):
    """A CLIPVisionModelWithProjection as normalised pixels → unit vectors."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, pixels: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """Return one embedding per image."""
        embeddings: Tensor = self.clip(pixel_values=pixels).image_embeds
        return normalize(embeddings, dim=-1)


class PlainUNet(nn.Module):
    """A UNet with the arguments of a prior by name."""

    def __init__(self, unet: Any, *, labelled: bool) -> None:  # noqa: ANN401
        super().__init__()
        self.unet, self.labelled = unet, labelled

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        class_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the prediction."""
        labels = class_labels if self.labelled else None
        prediction: Tensor = self.unet(
            sample, timestep, encoder_hidden_states, class_labels=labels, return_dict=False
        )[0]
        return prediction


class Encode(nn.Module):
    """Images in [0, 1] to scaled latents."""

    def __init__(self, vae: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.vae = vae

    def forward(self, image: Tensor) -> Tensor:
        """Return the latents' modes."""
        return encode(cast(Vae, self.vae), image)


class Decode(nn.Module):
    """Scaled latents to images in [0, 1]."""

    def __init__(self, vae: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.vae = vae

    def forward(self, z: Tensor) -> Tensor:
        """Return the images."""
        return decode(cast(Vae, self.vae), z)


class Embed(nn.Module):
    """Encoder of one modality of the aligned encoder."""

    def __init__(self, model: Any, modality: Modality) -> None:  # noqa: ANN401
        super().__init__()
        self.model, self.modality = model, modality

    def forward(self, x: Tensor) -> Tensor:
        """Return unit vectors."""
        embedding: Tensor = self.model.embed(self.modality, x)
        return embedding
