-- SQLite has no roles: whoever can open the file can read all of it. A ledger that was moved to a server is closed.
-- Statements are separated by a line that holds only "--;".

CREATE TRIGGER audit_event_is_refused_after_a_move BEFORE INSERT ON audit_event
WHEN EXISTS (SELECT 1 FROM audit_stream WHERE stream = 'system/move' AND seq % 2 = 0) BEGIN
  SELECT RAISE(ABORT, 'proofgap: moved: the ledger was moved, and takes no event any more');
END
