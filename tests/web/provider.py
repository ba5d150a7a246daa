"""A small OpenID provider, as a program: it lets everybody in as who they say they are, and lies where it is told to.

``POST /lie`` with a JSON object changes what its next ID token says: claims, ``alg``, another ``key``; it forgets that then.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import time
from base64 import b64decode, urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "proofgap", "the-secret-of-the-site"
KEY, OTHER = (RSAKey.generate_key(2048, {"kid": kid}) for kid in ("right", "right"))
CODES: dict[str, dict[str, str]] = {}
LIE: dict[str, Any] = {}


class Provider(BaseHTTPRequestHandler):
    """Answers one request."""

    def log_message(self, *_words: object) -> None:
        """Say nothing."""

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def reply(self, status: int, document: object = None, **headers: str) -> None:
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match parts.path:
            case "/.well-known/openid-configuration":
                found = {
                    "issuer": LIE.pop("issuer", self.issuer),
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/keys",
                    "authorization_response_iss_parameter_supported": True,
                }
                self.reply(200, found)
            case "/keys":
                self.reply(200, {"keys": [KEY.as_dict(private=False)]})
            case "/authorize":
                assert {"code", "S256", CLIENT} == {
                    asked["response_type"],
                    asked["code_challenge_method"],
                    asked["client_id"],
                }
                code = f"code-{len(CODES)}"
                CODES[code] = asked
                query = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
                self.reply(302, Location=f"{asked['redirect_uri']}?{query}")
            case _:
                self.reply(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/lie":
            LIE.update(json.loads(body))
            self.reply(204)
            return
        sent = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        asked = CODES.pop(sent.get("code", ""), None)
        challenge = (
            urlsafe_b64encode(hashlib.sha256(sent.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
        )
        known = b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if asked is None or challenge != asked["code_challenge"] or known != f"{CLIENT}:{SECRET}":
            self.reply(400, {"error": "invalid_grant"})
            return
        self.reply(200, {"access_token": "x", "token_type": "Bearer", "id_token": self.signed(asked)})

    def signed(self, asked: dict[str, str]) -> str:
        now = LIE.pop("now", None) or int(time.clock_gettime(time.CLOCK_REALTIME))
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "d.weber",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
        }
        claims |= {"name": "D. Weber"} | LIE.pop("claims", {})
        claims = {name: value for name, value in claims.items() if value is not None}
        algorithm = LIE.pop("alg", "RS256")
        if algorithm != "RS256":  # put together by hand: the library makes no such word
            head = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": algorithm}, claims))
            mark = hmac.digest(KEY.as_pem(private=False), head.encode(), "sha256") if algorithm == "HS256" else b""
            return f"{head}.{encoded(mark)}"
        return jwt.encode({"alg": "RS256", "kid": "right"}, claims, OTHER if LIE.pop("key", None) else KEY)


def encoded(part: bytes) -> str:
    """Write bytes as the parts of a token are written."""
    return urlsafe_b64encode(part).decode().rstrip("=")


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
