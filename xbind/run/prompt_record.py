"""Interpretation of a prompt, as messages and as plain data for `config.json`."""

from collections.abc import Callable, Iterator
from typing import Any

from xbind.conditioning.prompt import EncodedPrompt, read_prompt
from xbind.config.options import PromptConfig
from xbind.networks.frozen import Bundle


def prompt_record(prompt: EncodedPrompt) -> dict[str, Any]:
    """Returns the interpretation of the prompt and the source of its mask, as far as known."""
    record: dict[str, Any] = {}
    if prompt.understood:
        record["understood"] = {reading.source: reading.record() for reading in prompt.understood}
    if prompt.foreground is not None:
        record["foreground"] = prompt.foreground.record()
    return record


def text_record(
    prompt: PromptConfig, bundle: Bundle, report: Callable[[str], None]
) -> dict[str, Any]:
    """Returns the reading of the text in a closed vocabulary, and reports it."""
    text = read_prompt(prompt, bundle.bind)
    if text is None or text.reading is None:
        return {}
    for line in text.reading.messages():
        report(line)
    return {"reading": text.reading.plain()}


def prompt_messages(prompt: EncodedPrompt) -> Iterator[str]:
    """Warnings of the loaders, and what the prompt was understood as."""
    yield from prompt.warnings
    for reading in prompt.understood:
        yield reading.line()
    if not prompt.understood:
        yield (
            "This bundle brings no list of names (`names` in bundle.json): what the prompt is "
            "understood as is not shown."
        )


def pose_origin(prompt: EncodedPrompt, bundle: Bundle) -> str:
    """Returns the source of a picture's elevation and azimuth, as the end of a message."""
    given = (prompt.elevation_deg is not None, prompt.azimuth_deg is not None)
    if prompt.image is None or all(given):
        return " (given)" if all(given) else ""
    missing = " and ".join(
        flag for flag, known in zip(("--elevation", "--azimuth"), given, strict=True) if not known
    )
    if bundle.view is not None:
        return f" (without {missing}, that angle was estimated)" if any(given) else ""
    return f" (this bundle has no pose network, so 0° is assumed; {missing} would set it)"
