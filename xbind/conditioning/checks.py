"""Reads the files of a prompt once before any network is loaded, which can take a minute."""

from xbind.conditioning.audio import load_audio
from xbind.conditioning.depth import load_depth
from xbind.conditioning.image import load_image
from xbind.conditioning.thermal import load_thermal
from xbind.config.options import PromptConfig
from xbind.models.inputs import FbankConfig


def check_files(prompt: PromptConfig) -> None:
    """Decode pictures, sound and depth, and throw them away. Video and motion are read later.

    Raises:
        PromptError: a file cannot be used.
    """
    if prompt.image is not None:
        load_image(prompt.image)
    if prompt.thermal is not None:
        load_thermal(prompt.thermal)
    if prompt.depth is not None:
        load_depth(prompt.depth, prompt.depth_kind)
    if prompt.audio is not None:
        load_audio(prompt.audio, FbankConfig())
