"""Where one item's content goes while it streams out of the backup: to a draft, to a comparison, or nowhere any more.

Owns the end of one item: created, replaced, found to be there already, skipped, or failed, and in each case what is
left behind. Refuses to know where the content comes from.
"""

from __future__ import annotations

from proofgap.facts import ItemResult
from proofgap.records import Item
from proofgap_app.drivers.base import Action, PlannedItem
from proofgap_app.drivers.draft import Draft
from proofgap_app.drivers.leftovers import IN_PLACE
from proofgap_app.drivers.target import Target, dress, message_of, reason_of
from proofgap_app.drivers.target_state import EXISTS, may_be_equal, obstacle


class Sink:
    """One item on its way into the target. ``outcome`` is there once its end is known."""

    def __init__(self, target: Target, item: PlannedItem, *, overwrite: bool) -> None:
        """Look at the target, and begin a draft where the item may be written."""
        self._target, self._item = target, item
        self._draft: Draft | None = None
        self._existed = False
        self._digest_there: str | None = None
        self._digest: str | None = None
        self._bare: str | None = None
        self.outcome: Item | None = None
        try:
            self._begin(overwrite=overwrite)
        except OSError as error:
            self._fail(error)

    def _begin(self, *, overwrite: bool) -> None:
        status = self._target.lookup(self._item.parts)
        blocked = obstacle(self._item, status)
        if blocked is not None:
            self.abandon(ItemResult.FAILED, blocked, "something of another kind is in its place")
            return
        self._existed = status is not None
        if may_be_equal(self._item, status):
            self._digest_there = self._target.digest(self._item.parts)
        if overwrite or not self._existed:
            self._draft = self._target.draft(self._item.parts)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; does nothing once the end is known."""
        if self._draft is None:
            return
        try:
            self._draft.write(chunk)
        except OSError as error:
            self._fail(error)

    def complete(self, digest: str) -> None:
        """Take the digest of the whole content, and end the item, unless it is now to be flushed and published."""
        if self.outcome is not None:
            return
        if self._item.sha256 not in {None, digest}:
            self.abandon(ItemResult.FAILED, "manifest_mismatch", "the content is not what the manifest says", digest)
        elif digest == self._digest_there:
            self._end(Action.UNCHANGED, ItemResult.SUCCEEDED, IN_PLACE, observed=digest)
        elif self._draft is None:
            self._end(Action.SKIPPED, ItemResult.SKIPPED, EXISTS, "it exists, differs, and was not to be replaced")
        else:
            self._digest = digest
            self._bare = _undressed(self._draft, self._item)

    def flush(self) -> None:
        """Put the whole content on the disk; may be called from another thread."""
        if self._draft is None:
            return
        try:
            self._draft.flush()
        except OSError as error:
            self._fail(error)

    def publish(self) -> None:
        """Give the flushed content its name, and end the item; does nothing once the end is known."""
        if self._draft is None:
            return
        # Also when it then fails: a call that failed on a failing disk may have happened all the same.
        self._target.changed = True
        try:
            self._draft.publish(replace=self._existed)
        except OSError as error:
            self._fail(error)
            return
        self._draft = None
        action = Action.OVERWRITTEN if self._existed else Action.CREATED
        reason_code = "metadata_not_applied" if self._bare else None
        self._end(action, ItemResult.SUCCEEDED, reason_code, self._bare, self._digest)

    def abandon(self, result: ItemResult, reason_code: str, message: str, observed: str | None = None) -> None:
        """End the item without it, for a reason that lies outside the target."""
        if self.outcome is None:
            self._end(Action.NONE, result, reason_code, message, observed)

    def drop(self) -> None:
        """Leave nothing behind when the execution itself broke off."""
        if self._draft is not None:
            self._draft.discard()
        self._draft = None

    def _fail(self, error: OSError) -> None:
        self._end(Action.NONE, ItemResult.FAILED, reason_of(error), message_of(error))

    def _end(
        self,
        action: Action,
        result: ItemResult,
        reason_code: str | None = None,
        message: str | None = None,
        observed: str | None = None,
    ) -> None:
        if self._draft is not None and not self._draft.discard():
            self._target.changed = True
            result, message = ItemResult.PARTIAL, f"{message or 'not needed'}; a temporary file could not be removed"
        self._draft = None
        self.outcome = Item(
            key=self._item.key,
            action=action,
            result=result,
            reason_code=reason_code,
            message=message,
            bytes=self._item.size if result is ItemResult.SUCCEEDED else None,
            expected_digest=self._item.sha256,
            observed_digest=observed,
        )


def _undressed(draft: Draft, item: PlannedItem) -> str | None:
    """Apply owner, permissions and time; give the system's words when it refuses: the content still counts."""
    try:
        dress(draft.descriptor, item)
    except OSError as error:
        return f"owner, permissions or time could not be set: {message_of(error)}"
    return None
