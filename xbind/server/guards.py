"""What stands before every route: host, origin, token, size of the body, and headers of answers.

Host and Origin are compared so that no page of another site can use a server on this machine, not
even under a name of its own that resolves to it (DNS rebinding).
"""

import asyncio
import hmac
import ipaddress
import json
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xbind.config.serve import MIB, TEXT_BYTES, UPLOAD_PAUSE_S, ServeConfig

COOKIE = "xbind_token"
"""Name of the cookie that a page holds the token in."""
UPLOADS = ("/api/jobs",)
"""Paths that take files."""
OPEN = ("/api/login",)
"""Paths under /api/ that need no token."""
PAGE_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",  # model-viewer has styles of its own
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self' data: blob:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
"""Content Security Policy of what has none of its own."""
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}


class _TooLong(Exception):
    """The body is longer than it may be."""


class Guards:
    """An ASGI middleware."""

    def __init__(self, app: ASGIApp, settings: ServeConfig, token: str | None) -> None:
        """Stand before `app`.

        Args:
            app: what answers.
            settings: names of this server and limits.
            token: that requests must bring; None asks for none.
        """
        self._app, self._settings, self._token = app, settings, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no WebSockets
            return
        headers = Headers(scope=scope)
        answer = _Answer(send)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await answer.refuse(*refusal)
            return
        body = _Body(receive, self._limit(scope))
        with suppress(_TooLong):
            await self._app(scope, body.receive, answer.unless(body))
        if body.failed is not None and not answer.started:
            await answer.refuse(*body.failed)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Status and message for a request that is refused for its headers; None if it is not."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return 421, (
                "This server does not answer for that host name.\n"
                "Use the address that it printed at its start, or name it with --names."
            )
        if not _same_site(headers, hosts[0]):
            return 403, "Requests from pages of other sites are refused."
        path = scope["path"]
        closed = path.startswith("/api/") and path not in OPEN
        if self._token is not None and closed and not self._has_token(headers):
            return 401, (
                "This server needs its token.\n"
                "Send it as `Authorization: Bearer TOKEN`, or log in on the page."
            )
        return self._length_refusal(scope, headers)

    def _length_refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        length, limit = headers.get("content-length"), self._limit(scope)
        if length is None:
            return None
        if not (length.isascii() and length.isdigit()):
            return 400, "Content-Length is not a number."
        return _too_long(limit) if int(length) > limit else None

    def _limit(self, scope: Scope) -> int:
        """Longest body of a request, in bytes."""
        uploads = scope["method"] == "POST" and scope["path"] in UPLOADS
        return TEXT_BYTES + (self._settings.upload_bytes if uploads else 0)

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this server."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self._settings.host_names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._settings.local  # an address cannot be rebound

    def _has_token(self, headers: Headers) -> bool:
        assert self._token is not None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return is_token(given.strip(), self._token)
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and is_token(morsel.value, self._token)


def is_token(given: str, token: str) -> bool:
    """Whether a token is the right one, in a time that does not depend on where it differs."""
    return hmac.compare_digest(given.encode(), token.encode())


def _same_site(headers: Headers, host: str) -> bool:
    """Whether a request comes from a page of this server, or from no page."""
    origin = headers.get("origin")
    if origin is not None:
        parts = urlsplit(origin)
        default = {"http": ":80", "https": ":443"}.get(parts.scheme)
        if default is None:  # "null", a file, an extension
            return False
        return parts.netloc.lower().removesuffix(default) == host.lower().removesuffix(default)
    site = headers.get("sec-fetch-site", "none")
    followed_link = headers.get("sec-fetch-mode") == "navigate"
    return site in ("none", "same-origin") or followed_link


def _too_long(limit: int) -> tuple[int, str]:
    return 413, (
        f"The request is longer than {limit / MIB:.3g} MiB, which is all that is taken.\n"
        f"Send smaller files, or start the server with a larger --max-upload."
    )


class _Body:
    """The body of a request, up to a limit, and not slower than it may be."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit, self._taken, self._whole = receive, limit, 0, False
        self.failed: tuple[int, str] | None = None
        """Status and message, if the body was refused."""

    async def receive(self) -> Message:
        """As of ASGI.

        Raises:
            _TooLong: it is longer than it may be, or takes too long.
        """
        if self._whole:  # only the end of the connection can follow
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), UPLOAD_PAUSE_S)
        except TimeoutError:
            self.failed = (408, f"Nothing more arrived for {UPLOAD_PAUSE_S:.0f} s.")
            raise _TooLong from None
        self._taken += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._taken > self._limit:
            self.failed = _too_long(self._limit)
            raise _TooLong
        return message


class _Answer:
    """The answer to a request, with the headers of this server."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    def unless(self, body: _Body) -> Send:
        """Sends what `app` answers, but nothing once the body was refused."""

        async def send(message: Message) -> None:
            if body.failed is None or self.started:
                await self._pass(message)

        return send

    async def refuse(self, status: int, message: str) -> None:
        """Answer with an error."""
        body = json.dumps({"error": message}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await self._pass({"type": "http.response.start", "status": status, "headers": headers})
        await self._pass({"type": "http.response.body", "body": body})

    async def _pass(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("content-security-policy", PAGE_POLICY)
            headers.setdefault("cache-control", "no-store")
        await self._send(message)
