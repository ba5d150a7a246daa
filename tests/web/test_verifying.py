"""Verifying the log reads all of it: a server does it for one auditor at a time, whoever asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

from proofgap_store import Ledger

PATH = "/audit/verify"


def test_a_second_verification_is_told_to_come_back_while_one_is_under_way(world, monkeypatch):
    begun, may_end, verify = Event(), Event(), Ledger.verify

    def slowly(ledger):
        begun.set()
        assert may_end.wait(30)
        return verify(ledger)

    monkeypatch.setattr(Ledger, "verify", slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(world.as_("udo").post, PATH)
        try:
            assert begun.wait(30)
            second = world.as_("ada").post(PATH)
            page = world.as_("ada").post(PATH, Accept="text/html")
        finally:
            may_end.set()
        assert (429, "rate-limited") == (second.status, second.json["code"])
        assert ["10", "10"] == [answer.headers["retry-after"] for answer in (second, page)]
        assert (429, True) == (page.status, b"being verified" in page.body)
        assert 200 == first.result().status
    assert 200 == world.as_("ada").post(PATH).status


def test_a_verification_that_fails_keeps_nobody_from_the_next_one(world, monkeypatch):
    def torn(_ledger):
        raise OSError("the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(Ledger, "verify", torn)
        assert 500 == world.as_("ada").post(PATH).status
    assert 200 == world.as_("ada").post(PATH).status


def test_whoever_audits_nothing_is_refused_before_they_are_told_to_wait(world):
    assert 403 == world.as_("olga").post(PATH).status
