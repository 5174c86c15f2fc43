"""A path or an id of the Hugging Face hub to a path on this machine; nothing is fetched unasked."""

import re
from collections.abc import Sequence
from pathlib import Path

from xbind.errors import XBindError
from xbind.system.untrusted import reason


class SourceError(XBindError):
    """A source that is not here; the message says what to get and where to put it."""


def locate(source: str, flag: str, *, wanted: Sequence[str], allow_download: bool) -> Path:
    """The folder or file that `source` names.

    Args:
        source: a path; or `owner/name`, of which `wanted` is taken from the hub's own cache, and
            fetched into it if that is allowed. An interrupted download goes on.
        flag: the option to name in messages.
        wanted: patterns of the files that are needed of a repository.
        allow_download: whether to fetch what is not in the cache.

    Raises:
        SourceError: it is neither here nor may or can be fetched.
    """
    try:
        path = Path(source).expanduser()
        if path.exists():
            return path
    except (OSError, RuntimeError) as error:  # a closed folder, a long name, an unknown ~user
        raise SourceError(
            f"{flag} {source} cannot be read: {reason(error)}.\nGive another path."
        ) from error
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise SourceError(
            f"{flag} {source} does not exist.\nGive the path of a folder or file, or a hub id such "
            f"as owner/name."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        found = snapshot_download(
            source, allow_patterns=list(wanted), local_files_only=not allow_download
        )
    except LocalEntryNotFoundError as error:
        if allow_download:
            raise _unreachable(source, flag, error) from error
        raise SourceError(
            f"{flag} {source} is not on this machine.\nFetch it with --allow-download, or get it "
            f"elsewhere and give the path:  {flag} PATH"
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise _unreachable(source, flag, error) from error
    return Path(found)


def _unreachable(source: str, flag: str, error: Exception) -> SourceError:
    first = (str(error) or type(error).__name__).splitlines()[0]
    return SourceError(
        f"{flag} {source} cannot be fetched ({first}).\nRepositories of these networks have moved "
        f"before: look for a mirror and give its id, or a path:  {flag} PATH"
    )
