"""Add a loss of your own to Phase I, without a change of the package.

    python examples/own_loss.py --steps 60

The loss asks for mirror symmetry of the density σ in the plane y = 0:

    L_mirror = mean_p |σ(p) − σ(M p)| / mean_p (σ(p) + σ(M p)),   M = diag(1, −1, 1)

It is 0 for a symmetric object and 1 for one that never meets its mirror image. A stage is any
object with the methods of `xbind.algorithm.iteration.Phase`: here Phase I is wrapped and given one
more term, with its weight.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
import tyro
from torch import Tensor

from xbind.algorithm.iteration import advance
from xbind.algorithm.phase1_nerf import CoarsePhase
from xbind.algorithm.supervision import Supervision, make_condition
from xbind.conditioning.prompt import encode_prompt
from xbind.config.options import PromptConfig
from xbind.config.presets import preset_named
from xbind.networks.frozen import Bundle
from xbind.networks.loaded import load_networks
from xbind.scene.nerf.field import HashField

POINTS = 4096
"""Points per iteration, uniformly in the ball of the scene."""


def mirror_loss(field: HashField, generator: torch.Generator) -> Tensor:
    """Returns L_mirror of a field, in [0, 1]; differentiable in the field's parameters."""
    radius = field.config.radius
    points = (2 * torch.rand((POINTS, 3), generator=generator) - 1) * radius
    points = points[points.norm(dim=1) < radius]
    density = field.density(points)
    mirrored = field.density(points * torch.tensor([1.0, -1.0, 1.0]))
    return (density - mirrored).abs().mean() / (density + mirrored).mean()


class SymmetricPhase(CoarsePhase):
    """Phase I with the term `mirror`."""

    w_mirror = 0.0

    def terms(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        terms = super().terms(step, generator)
        return terms | {"mirror": mirror_loss(self.field, generator)}

    def weights(self, step: int) -> Mapping[str, float]:
        return {**super().weights(step), "mirror": self.w_mirror}


def asymmetry_of(bundle: Bundle, text: str, weight: float, steps: int, seed: int = 0) -> float:
    """Run Phase I with this weight of the loss.

    Returns:
        L_mirror of the field after the last step.
    """
    method = preset_named("smoke")
    generator = torch.Generator().manual_seed(seed)
    prompt = encode_prompt(PromptConfig(text=text), bundle.bind, bundle.unclip.image_size)
    condition = make_condition(prompt, bundle, method.reference, generator)
    phase = SymmetricPhase(
        replace(method.coarse, steps=steps),
        Supervision(bundle, condition),
        HashField(method.coarse.field, generator=torch.Generator().manual_seed(seed + 1)),
    )
    phase.w_mirror = weight
    for step in range(steps):
        terms = advance(phase, step, generator)
        if step % 10 == 0 or step == steps - 1:
            print(f"weight {weight:g}, step {step + 1}: mirror {terms['mirror']:.3f}")
    with torch.no_grad():
        return float(mirror_loss(phase.field, torch.Generator().manual_seed(seed)))


def main(text: str = "a red mug", *, steps: int = 60, weight: float = 5.0) -> tuple[float, float]:
    """Compare Phase I without and with the loss.

    Args:
        text: what to make.
        steps: iterations of Phase I.
        weight: of the loss, beside the summed latent terms.

    Returns:
        L_mirror without and with the loss.
    """
    bundle = load_networks("mini", device="cpu").on_cpu()
    without = asymmetry_of(bundle, text, 0.0, steps)
    with_loss = asymmetry_of(bundle, text, weight, steps)
    print(f"L_mirror {without:.3f} without the loss, {with_loss:.3f} with it")
    return without, with_loss


if __name__ == "__main__":
    tyro.cli(main)
