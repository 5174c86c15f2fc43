"""`xbind serve`: opens the port, prints the address, and serves until it is stopped."""

import secrets
import socket
import sys
from contextlib import closing
from pathlib import Path

from xbind.batch.local import LocalExecutor
from xbind.config.serve import MAX_CONNECTIONS, ServeConfig
from xbind.errors import XBindError, printable
from xbind.files import disk_errors
from xbind.networks.manifest import load_manifest
from xbind.server.service import Service

TOKEN_BYTES = 32
"""Of a token that is made here."""
BACKLOG = 2048
"""Connections that may wait to be accepted, as uvicorn has it."""
MIN_TOKEN = 16
"""Characters of a token that is given, at least."""


class ServeError(XBindError):
    """The server cannot be started; the message says what to type instead."""


def serve(settings: ServeConfig) -> None:
    """Serves until Ctrl-C or SIGTERM; unfinished jobs go on when it is started again.

    Raises:
        ServeError: the extra is not installed, the port is taken, or the token is too short.
        XBindError: there is no such bundle, or the folder cannot be used.
    """
    try:
        import uvicorn

        from xbind.server.app import make_app
    except ImportError as error:
        raise ServeError(
            f"xbind serve needs packages that are not installed ({error}).\n"
            f"Install them with: pip install 'xbind[serve]'"
        ) from error
    load_manifest(settings.bundle)
    with closing(_bind(settings)) as listening:
        service = Service(
            settings,
            LocalExecutor(
                settings.out.absolute(), workers=settings.workers, device=settings.device
            ),
        )
        try:
            token = token_of(settings)
            app = make_app(service, token)
        except BaseException:
            service.close()
            raise
        sys.stdout.write(printable(f"{greeting(settings, listening.getsockname()[1], token)}\n"))
        sys.stdout.flush()
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, date_header=False,
            limit_concurrency=MAX_CONNECTIONS, timeout_graceful_shutdown=2, ws="none",
            proxy_headers=False, http="h11", loop="asyncio",
        )  # fmt: skip
        server = uvicorn.Server(config)
        service.stopping = lambda: server.should_exit
        server.run(sockets=[listening])


def _bind(settings: ServeConfig) -> socket.socket:
    """A socket that listens at the address.

    Raises:
        ServeError: it is taken, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)  # who reads the address can connect at once
    except (OSError, UnicodeError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise ServeError(
            f"Cannot listen on {settings.host} port {settings.port}: {reason}.\n"
            f"Give another --port (0 takes a free one), or another --host."
        ) from error
    return listening


def token_of(settings: ServeConfig) -> str | None:
    """The token that requests must bring; None if none is asked for.

    One that is made is kept in `token` in the server's folder, for its owner alone.

    Raises:
        ServeError: the file cannot be read, or its token is too short.
        DiskError: the file cannot be written.
    """
    if settings.token_file is not None:
        return _read(settings.token_file)
    if settings.local:
        return None
    path = settings.out / "token"
    if not path.exists():
        with disk_errors(path):
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(f"{secrets.token_urlsafe(TOKEN_BYTES)}\n", "ascii")
    return _read(path)


def _read(path: Path) -> str:
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise ServeError(f"The token cannot be read from {path} ({error}).") from error
    if len(token) < MIN_TOKEN or not token.isprintable() or set(token) & set(' ";,\\'):
        raise ServeError(
            f"The token in {path} must have at least {MIN_TOKEN} letters and digits, without "
            f"spaces, quotes, commas, semicolons and backslashes.\n"
            f"Remove the file to have one made, if it is the server's own."
        )
    return token


def greeting(settings: ServeConfig, port: int, token: str | None) -> str:
    """What is printed at the start: the address, with the token in its fragment."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    if settings.host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    address = f"http://{host}:{port}/"
    lines = [
        f"Serving {address}{f'#token={token}' if token else ''}",
        f"Jobs are in {settings.out}",
    ]
    if not settings.local:
        lines.append(
            "Connections are not encrypted: put a proxy with TLS in front, or use an SSH tunnel."
        )
    return "\n".join(lines)
