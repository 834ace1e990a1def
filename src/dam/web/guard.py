"""Who may ask the storefront's server, and the headers of each answer.

Any page in the browser can send requests to a port of this machine, under a name of its own even
(DNS rebinding), and any program here can. So the raw ``Host`` is exactly ours, and all but the page
itself is for requests of our own origin that hold the token of this start, which the page has from
its address's fragment. It is no cookie: cookies go to every port.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

TOKEN_HEADER = "X-Dam-Token"  # noqa: S105
PAGE_CSP = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob:",
    "connect-src 'self'", "worker-src 'self'", "manifest-src 'self'", "base-uri 'none'",
    "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
    "trusted-types dam lit-html",
))  # fmt: skip
DATA_CSP = "sandbox; default-src 'none'; frame-ancestors 'none'"
"""Of what is no file of the page: should a browser ever take it for a document, it can do nothing.
A service worker's script without a policy of its own would run inline scripts."""
_FEATURES = (
    "accelerometer", "autoplay", "camera", "display-capture", "encrypted-media",
    "fullscreen", "gamepad", "geolocation", "gyroscope", "hid", "idle-detection", "local-fonts",
    "magnetometer", "microphone", "midi", "payment", "picture-in-picture", "screen-wake-lock",
    "serial", "usb", "xr-spatial-tracking",
)  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": DATA_CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _FEATURES),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Gives each answer the headers that it does not have itself, errors included."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


@dataclass(frozen=True, slots=True)
class Guard:
    """What a request must have to be answered.

    Args:
        port: Ours.
        token: Of this start.
        open_paths: Paths of the page itself: a browser that loads them sends no header of ours.
    """

    port: int
    token: str
    open_paths: Collection[str]

    @property
    def host(self) -> str:
        """The only ``Host`` that is answered."""
        return f"localhost:{self.port}"

    def refusal(self, request: web.Request) -> web.Response | None:
        """The answer to who may not ask; None: go on."""
        headers = request.headers
        # As it came: `request.host` puts a name of its own where there is none.
        if headers.getall(hdrs.HOST, []) != [self.host]:
            return _refused(421, f"this is http://{self.host}/ alone")
        if request.path == "/":
            return None  # a link to it or a bookmark gives nothing but the page
        if headers.getall(hdrs.ORIGIN, []) not in ([], [f"http://{self.host}"]):
            return _refused(403, "for this page alone (Origin)")
        site = headers.getall("Sec-Fetch-Site", [])
        if request.path in self.open_paths:
            if site not in ([], ["same-origin"], ["none"]):
                return _refused(403, "for this page alone (Sec-Fetch-Site)")
            return None
        if site != ["same-origin"]:
            return _refused(403, "for this page alone (Sec-Fetch-Site)")
        given = headers.getall(TOKEN_HEADER, [])
        # As bytes: compare_digest takes no text with other letters than ASCII's.
        if len(given) != 1 or not hmac.compare_digest(given[0].encode(), self.token.encode()):
            return _refused(401, "not the token of this start: open the address that it printed")
        return None

    @property
    def middleware(self) -> Middleware:
        """Asks `refusal` before any handler."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            refused = self.refusal(request)
            return await handler(request) if refused is None else refused

        return check


def _refused(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)
