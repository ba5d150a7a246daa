"""What is named a secret, or looks like one, is taken out of what tools say, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofgap.facts import ItemResult
from proofgap.records import Item
from proofgap.secret import redacted, without_secrets

PIECES = (
    "password",
    "=",
    ":",
    '"',
    "'",
    " ",
    "--token",
    "Bearer ",
    "https://",
    "me:",
    "@",
    "eyJ",
    ".",
    "-",
    "secret_key",
    "a",
    "9",
    "}",
    "/",
    "denied",
    "\\",
    "&",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password=hunter2 failed", "password=*** failed"),
        ('"api_key": "abc def", next', '"api_key": "***", next'),
        ('{"secret": "a\\"b c", "n": 1}', '{"secret": "***", "n": 1}'),
        ('password="never closed', 'password="*** closed'),
        ("AWS_SECRET_ACCESS_KEY=abc/def+g", "AWS_SECRET_ACCESS_KEY=***"),
        ("restic --password hunter2 --repo x", "restic --password *** --repo x"),
        ("restic --password-file /etc/pw", "restic --password-file /etc/pw"),
        ("Authorization: Bearer abcdef123456", "Authorization: Bearer ***"),
        ("cannot reach s3://user:hunter2@host/b", "cannot reach s3://user:***@host/b"),
        ("key AKIAABCDEFGHIJKLMNOP", "key ***"),
        ("ghp_abcdefghijklmnop123 is no token", "*** is no token"),
        ("sent eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0.dBjftJeZ4CVP", "sent ***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- there", "*** there"),
        ("the token was not found", "the token was not found"),
        ("no space left on device: /srv/db", "no space left on device: /srv/db"),
        ("sftp:me@host:/srv/repo", "sftp:me@host:/srv/repo"),
    ],
)
def test_what_is_named_a_secret_is_taken_out_and_nothing_else(text, expected):
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "etc/passwd: Cannot open: Permission denied",
        "cannot open 'etc/passwd': Permission denied",
        "tar: passwd: Cannot open: No such file or directory",
        "srv/token: 3 of 4 blocks were read",
        "home/me/password.txt: checksum differs",
        "secret-plans.odt: owner differs",
        "tokenizer.json: 3 bytes more than expected",
        "120 checks passed: 118, failed: 2; passed=118",
        "compass: north, bypass=1",
        "token: expired",
        "wrong password: try again",
        "authorization: denied.",
        "basic authentication is not offered",
        "models/sk-learn-model-weights.bin",
    ],
)
def test_what_is_said_of_a_file_or_a_token_stays_as_it_is(text):
    """The record keeps what was said once and for all: a word that is taken out of it for nothing is lost."""
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password: hunter2", "password: ***"),
        ("PGPASSWORD:hunter2 was refused", "PGPASSWORD:*** was refused"),
        ("X-Auth-Token: abcdef", "X-Auth-Token: ***"),
        ("password: no-one-knows", "password: ***"),
        ("authorization: bearer abcdefgh", "authorization: bearer ***"),
        ("spring.datasource.password: hunter2", "spring.datasource.password: ***"),
        ("'token': denied99", "'token': ***"),
        ("https://host/x?secretkey=abc", "https://host/x?secretkey=***"),
    ],
)
def test_a_secret_that_is_stated_after_its_name_is_taken_out(text, expected):
    assert redacted(text) == expected


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_taking_secrets_out_twice_takes_out_no_more(text):
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a-",
        "password",
        "a://",
        "a://b:",
        "eyJ-",
        "-eyJaaaaaaaa",
        "pwd=\\",
        'pwd="\\',
        "--token",
        "bearer ",
        "pass:",
        "a.pass",
    ],
)
def test_the_longest_text_of_the_slowest_kind_is_read_to_its_end(piece):
    """A worker says what it likes, and as much of it as is let in: with a part of any length this would never end."""
    text = redacted(piece * (65_536 // len(piece)))
    assert redacted(text) == text


def test_only_what_is_said_of_an_item_changes():
    item = Item(
        key="password=kept", result=ItemResult.FAILED, message="password=hunter2", reason_code="token=x", bytes=3
    )
    plain = Item(key="a", result=ItemResult.SUCCEEDED)
    assert without_secrets([item, plain]) == (
        Item(key="password=kept", result=ItemResult.FAILED, message="password=***", reason_code="token=***", bytes=3),
        plain,
    )
