"""The list of `xbind eval run`: prompts whose right answer is known, or any prompts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbind.batch.jobs import prompt_content, prompt_label, slug_of
from xbind.batch.prompts import ListedPrompt, read_prompts
from xbind.config.options import PromptConfig
from xbind.mini.targets import Target, list_named, prompt_of, read_targets

BATCH_LISTS = (".csv", ".jsonl")
"""Endings of lists in a format of `xbind batch`."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a list."""

    name: str
    """Name of its folder; no other object of the list has it."""
    source: Target | PromptConfig
    """What it should make, in lists of the mini world; else its prompt."""
    seed: int | None = None
    """A seed of its own, instead of that of the evaluation."""

    def plain(self) -> dict[str, Any]:
        """Returns the entry as JSON data, with digests in place of files.

        Raises:
            PromptError: a file cannot be read.
        """
        if isinstance(self.source, Target):
            return self.source.plain()
        return prompt_content(self.source) | ({} if self.seed is None else {"seed": self.seed})

    def prompt(self, inputs: Path) -> PromptConfig:
        """Returns the prompt.

        Args:
            inputs: an existing folder, for a picture or sound that is made from the mini world.
        """
        source = self.source
        return prompt_of(source, inputs) if isinstance(source, Target) else source


def read_list(name: str) -> list[Listed]:
    """Reads a list: a shipped one, or a file in the format of the shipped ones or of `xbind batch`.

    Args:
        name: of a shipped list, or the path of a file.

    Raises:
        XBindError: there is no such list, or a line of it is wrong.
    """
    path = list_named(name)
    if path.suffix.lower() in BATCH_LISTS:
        return _with_names(read_prompts(path))
    return [Listed(target.name, target) for target in read_targets(path)]


def _with_names(entries: list[ListedPrompt]) -> list[Listed]:
    """The entries, each with a name that is made of its words and its files' names."""
    found: dict[str, Listed] = {}
    for entry in entries:
        first = name = slug_of(prompt_label(entry.prompt))
        number = 1
        while name in found:
            number += 1
            name = f"{first}-{number}"
        found[name] = Listed(name, entry.prompt, entry.seed)
    return list(found.values())
