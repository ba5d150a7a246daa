"""What tools say, without the secrets that they say by mistake.

A tool that fails may repeat its own command line or the address it could not reach, with the password in it. What is
recorded is not changed by this; it is what a page shows. Refuses to guess: only what is named a secret, or stands where
one belongs, is taken out.
"""

from __future__ import annotations

import re

TAKEN_OUT = "[redacted]"
"""What stands in the place of a secret."""

_NAMED = r"pass(?:word|wd|phrase)?|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|authorization"
_SECRETS = (
    (
        re.compile(
            rf"(?i)([\w-]*(?:{_NAMED})[\w-]*[\"']?\s*[=:]\s*)(?:bearer\s+|basic\s+)?(\"[^\"]*\"|'[^']*'|[^\s,;&\"']+)"
        ),
        r"\1" + TAKEN_OUT,
    ),
    (re.compile(rf"(?i)(--(?:{_NAMED})\s+)(\S+)"), r"\1" + TAKEN_OUT),
    (re.compile(r"(?i)(\b(?:bearer|basic)\s+)([A-Za-z0-9+/_.=~-]{8,})"), r"\1" + TAKEN_OUT),
    (re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*:)([^\s/@]+)(?=@)"), r"\1" + TAKEN_OUT),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), TAKEN_OUT),
    (re.compile(r"\b(?:gh[pousr]_|glpat-|xox[abpr]-|sk-)[A-Za-z0-9_-]{12,}"), TAKEN_OUT),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), TAKEN_OUT),
)


def redacted(text: str) -> str:
    """Give a text without the secrets in it."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
