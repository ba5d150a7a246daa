"""A file that was made for one request: it is sent whole, and is gone afterwards, however the request ends.

That it was given out is an event, which names the digest of all of it: so no part of it is sent, whatever part is asked
for (RFC 9110, section 14.2: a server may ignore Range). Refuses to know what is in it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

_OF_PARTS = frozenset({b"range", b"if-range"})


class Whole(FileResponse):
    """Sends the one file of a folder, and takes the folder away."""

    def __init__(self, file: Path, media: str, headers: Mapping[str, str]) -> None:
        """Say what to send, as what."""
        super().__init__(file, media_type=media, headers={**headers, "accept-ranges": "none"})
        self._folder = file.parent

    @override
    def set_stat_headers(self, stat_result: os.stat_result) -> None:
        """Say how long it is; the file was made for this answer, so its date and a version made of that say nothing."""
        self.headers["content-length"] = str(stat_result.st_size)

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in _OF_PARTS]}
        try:
            await super().__call__(whole, receive, send)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
