"""The first stage of a run: what supervises it, with its messages and pictures."""

from pathlib import Path

import torch
from torch import Tensor

from xbind.algorithm.supervision import Condition, make_condition
from xbind.conditioning.contact_sheet import contact_sheet
from xbind.conditioning.prompt import EncodedPrompt
from xbind.config.presets import MethodConfig
from xbind.networks.runtime import RunNetworks
from xbind.run.checks import REFERENCE, SAMPLES
from xbind.run.folder import RunFolder
from xbind.run.progress import Reporter
from xbind.run.prompt_record import pose_origin, prompt_messages


def make_reference(
    prompt: EncodedPrompt,
    method: MethodConfig,
    networks: RunNetworks,
    generator: torch.Generator,
    folder: RunFolder,
    reporter: Reporter,
    *,
    candidate: int | None = None,
) -> Condition:
    """Draw what supervises a run; write its reference view, and say how the prompt was understood.

    Args:
        prompt: what the user gave.
        method: numbers of the reference view.
        networks: that draw and compare the samples.
        generator: source of every draw.
        folder: of the run.
        reporter: receives messages and the reference view.
        candidate: number of the sample to take, from 1; None for the best by score.

    Raises:
        PromptError: no usable reference view could be sampled, or the candidate is not usable.
    """
    for message in prompt_messages(prompt):
        reporter.message(message)
    if prompt.foreground is not None:
        folder.save_image("mask.png", prompt.foreground.mask.expand(3, -1, -1))

    def show(images: Tensor, chosen: int) -> None:
        folder.save_image(SAMPLES, contact_sheet(images, chosen))

    with networks.stage("reference") as stage:
        condition = make_condition(
            prompt.to(generator.device), stage.bundle, method.reference, generator,
            stereo=method.uses_reference,
            agreement=method.agreement if method.uses_agreement else None,
            savings=stage.savings, candidate=candidate, show=show,
        )  # fmt: skip
    if condition.stereo is not None:
        camera = condition.reference.camera
        reporter.message(
            f"reference view at elevation {float(camera.elevation_deg):.0f}°, "
            f"azimuth {float(camera.azimuth_deg):.0f}°{pose_origin(prompt, networks.bundle)}"
        )
        if (agreement := agreement_in_words(condition)) is not None:
            reporter.message(f"the 3D prior's agreement with the prompt: {agreement}")
        reporter.preview(save_reference(condition, folder))
    return condition


def agreement_in_words(condition: Condition) -> str | None:
    """Returns the 3D prior's agreement with the prompt and what it does; None if unmeasured."""
    stereo = condition.stereo
    if stereo is None or bool(stereo.agreement.isnan()):
        return None
    share = float(stereo.share)
    effect = "its weight stays" if share == 1 else f"its weight is multiplied by {share:.2f}"
    return f"{float(stereo.agreement):.2f}; {effect}"


def save_reference(condition: Condition, folder: RunFolder) -> Path:
    """Write the reference view of a condition that has one; returns the path."""
    return folder.save_image(REFERENCE, condition.reference.image[0])


def reference_files(folder: RunFolder) -> list[Path]:
    """The pictures that are there of the reference view."""
    paths = [folder.path / name for name in (REFERENCE, SAMPLES)]
    return [path for path in paths if path.exists()]
