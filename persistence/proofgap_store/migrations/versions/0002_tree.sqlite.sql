-- The tree over the log: every event waits in a queue until the sequencer gives it its leaf, and a signed checkpoint
-- covers the leaves so far. Beside it: openings of committed personal data, holds, and the pruning of a prefix, which
-- takes payloads, except those that something still stands on: the view audit_tombstone has what may go, and what stays.
-- Statements are separated by a line that holds only "--;".

CREATE TABLE audit_unsequenced (
  event_id INTEGER PRIMARY KEY NOT NULL
) STRICT
--;
CREATE TABLE audit_leaf (
  idx      INTEGER PRIMARY KEY NOT NULL CHECK (idx >= 0),
  event_id INTEGER NOT NULL UNIQUE,
  hash     TEXT NOT NULL CHECK (length(hash) = 64)
) STRICT
--;
CREATE TABLE audit_node (
  level INTEGER NOT NULL CHECK (level >= 1),
  idx   INTEGER NOT NULL CHECK (idx >= 0),
  hash  TEXT NOT NULL CHECK (length(hash) = 64),
  PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID
--;
CREATE TABLE audit_checkpoint (
  size  INTEGER PRIMARY KEY NOT NULL CHECK (size > 0),
  root  TEXT NOT NULL CHECK (length(root) = 64),
  at_us INTEGER NOT NULL,
  note  TEXT NOT NULL
) STRICT
--;
CREATE TABLE audit_private (
  event_id INTEGER NOT NULL REFERENCES audit_event (event_id),
  path     TEXT NOT NULL,
  salt     TEXT NOT NULL CHECK (length(salt) = 32),
  value    TEXT NOT NULL,
  PRIMARY KEY (event_id, path)
) STRICT, WITHOUT ROWID
--;
CREATE TABLE audit_hold (
  id        TEXT PRIMARY KEY NOT NULL,
  workspace TEXT,  -- NULL: any
  environment TEXT,
  run       TEXT,
  active    INTEGER NOT NULL CHECK (active IN (0, 1)),
  last_event_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID
--;
CREATE VIEW audit_tombstone AS
SELECT l.idx, e.event_id, json_object(
    'actor', json_object('id', 'pruned'), 'at_us', e.at_us, 'env', e.env, 'id', e.id, 'pruned', e.event_id,
    'rec_us', json_extract(e.payload, '$.rec_us'), 'run', e.run, 'seq', e.seq, 'stream', e.stream, 'type', e.type,
    'v', json_extract(e.payload, '$.v'), 'ws', e.ws) AS tombstone
FROM audit_leaf AS l JOIN audit_event AS e ON e.event_id = l.event_id
WHERE e.stream NOT GLOB 'system/*'  -- what the ledger says of itself
  AND e.type <> 'restore.evidence.created'  -- nothing else tells when evidence was captured
  AND json_extract(e.payload, '$.data.rows_digest') IS NULL  -- items and checks
  AND NOT EXISTS (SELECT 1 FROM restore_run WHERE id = json_extract(e.payload, '$.data.subject') AND last_event_id = e.event_id)
  AND NOT EXISTS (SELECT 1 FROM operation_run WHERE id = json_extract(e.payload, '$.data.subject') AND last_event_id = e.event_id)
  AND NOT EXISTS (SELECT 1 FROM evidence_snapshot WHERE id = json_extract(e.payload, '$.data.subject') AND last_event_id = e.event_id)
  AND NOT EXISTS (SELECT 1 FROM receipt WHERE actor = e.actor AND key = json_extract(e.payload, '$.data.key') AND event_id = e.event_id)
--;
CREATE INDEX audit_event_actor ON audit_event (actor, event_id)
--;
CREATE INDEX audit_event_type ON audit_event (type, event_id)
--;
INSERT INTO audit_unsequenced SELECT event_id FROM audit_event
--;
CREATE TRIGGER audit_event_waits_for_its_leaf AFTER INSERT ON audit_event BEGIN
  INSERT INTO audit_unsequenced VALUES (NEW.event_id);
  SELECT RAISE(ABORT, 'proofgap: swallowed: the event was not queued')
    WHERE NOT EXISTS (SELECT 1 FROM audit_unsequenced WHERE event_id = NEW.event_id);
END
--;
CREATE TRIGGER audit_unsequenced_inserts_with_its_event BEFORE INSERT ON audit_unsequenced
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.event_id)
  OR EXISTS (SELECT 1 FROM audit_leaf WHERE event_id = NEW.event_id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: audit_unsequenced follows the log only');
END
--;
CREATE TRIGGER audit_unsequenced_is_never_updated BEFORE UPDATE ON audit_unsequenced BEGIN
  SELECT RAISE(ABORT, 'proofgap: audit_unsequenced follows the log only');
END
--;
CREATE TRIGGER audit_unsequenced_leaves_with_its_leaf BEFORE DELETE ON audit_unsequenced
WHEN NOT EXISTS (SELECT 1 FROM audit_leaf WHERE event_id = OLD.event_id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: an event stays in audit_unsequenced until it has its leaf');
END
--;
CREATE TRIGGER audit_leaf_grows_by_the_queue BEFORE INSERT ON audit_leaf BEGIN
  SELECT RAISE(ABORT, 'proofgap: stale tree: the leaf is not the next one')
    WHERE NEW.idx IS NOT (SELECT coalesce(max(idx) + 1, 0) FROM audit_leaf)
       OR NOT EXISTS (SELECT 1 FROM audit_unsequenced WHERE event_id = NEW.event_id);
  SELECT RAISE(ABORT, 'proofgap: a leaf is the hash of its event')
    WHERE NEW.hash IS NOT (SELECT leaf FROM audit_event WHERE event_id = NEW.event_id);
END
--;
CREATE TRIGGER audit_leaf_is_append_only_update BEFORE UPDATE ON audit_leaf BEGIN
  SELECT RAISE(ABORT, 'proofgap: audit_leaf is append-only');
END
--;
CREATE TRIGGER audit_leaf_is_never_deleted BEFORE DELETE ON audit_leaf BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of audit_leaf are never deleted');
END
--;
CREATE TRIGGER audit_node_is_never_replaced BEFORE INSERT ON audit_node
WHEN EXISTS (SELECT 1 FROM audit_node WHERE level = NEW.level AND idx = NEW.idx)
  OR ((NEW.idx + 1) << NEW.level) > (SELECT coalesce(max(idx) + 1, 0) FROM audit_leaf) BEGIN
  SELECT RAISE(ABORT, 'proofgap: a node is written once, when all its leaves are there');
END
--;
CREATE TRIGGER audit_node_is_append_only_update BEFORE UPDATE ON audit_node BEGIN
  SELECT RAISE(ABORT, 'proofgap: audit_node is append-only');
END
--;
CREATE TRIGGER audit_node_is_never_deleted BEFORE DELETE ON audit_node BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of audit_node are never deleted');
END
--;
CREATE TRIGGER audit_checkpoint_covers_the_leaves BEFORE INSERT ON audit_checkpoint BEGIN
  SELECT RAISE(ABORT, 'proofgap: stale tree: the checkpoint does not cover the leaves')
    WHERE NEW.size IS NOT (SELECT coalesce(max(idx) + 1, 0) FROM audit_leaf)
       OR EXISTS (SELECT 1 FROM audit_checkpoint WHERE size >= NEW.size);
  SELECT RAISE(ABORT, 'proofgap: the time of a checkpoint did not advance')
    WHERE NEW.at_us <= (SELECT at_us FROM audit_checkpoint ORDER BY size DESC LIMIT 1);
END
--;
CREATE TRIGGER audit_checkpoint_is_append_only_update BEFORE UPDATE ON audit_checkpoint BEGIN
  SELECT RAISE(ABORT, 'proofgap: audit_checkpoint is append-only');
END
--;
CREATE TRIGGER audit_checkpoint_is_never_deleted BEFORE DELETE ON audit_checkpoint BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of audit_checkpoint are never deleted');
END
--;
CREATE TRIGGER audit_private_opens_a_commitment BEFORE INSERT ON audit_private
WHEN NOT EXISTS (
    SELECT 1 FROM audit_event AS e, json_each(e.payload, '$.commit') AS c
    WHERE e.event_id = NEW.event_id AND c.key = NEW.path)
  OR EXISTS (SELECT 1 FROM audit_private WHERE event_id = NEW.event_id AND path = NEW.path)
  OR EXISTS (SELECT 1 FROM audit_leaf WHERE event_id = NEW.event_id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: an opening is written with its event only');
END
--;
CREATE TRIGGER audit_private_is_never_updated BEFORE UPDATE ON audit_private BEGIN
  SELECT RAISE(ABORT, 'proofgap: an opening is never changed');
END
--;
CREATE TRIGGER audit_private_leaves_by_the_log BEFORE DELETE ON audit_private
WHEN NOT EXISTS (
    SELECT 1 FROM audit_event AS r WHERE r.type = 'audit.redacted'
      AND json_extract(r.payload, '$.data.redacted') = OLD.event_id AND json_extract(r.payload, '$.data.path') = OLD.path)
  AND NOT EXISTS (
    SELECT 1 FROM audit_tombstone AS t, audit_event AS p
    WHERE t.event_id = OLD.event_id AND p.event_id = (SELECT max(event_id) FROM audit_event) AND p.type = 'audit.pruned'
      AND t.idx BETWEEN json_extract(p.payload, '$.data.first') AND json_extract(p.payload, '$.data.last')) BEGIN
  SELECT RAISE(ABORT, 'proofgap: an opening is deleted by audit.redacted or audit.pruned only');
END
--;
CREATE TRIGGER audit_event_redacts AFTER INSERT ON audit_event WHEN NEW.type = 'audit.redacted' BEGIN
  SELECT RAISE(ABORT, 'proofgap: there is no such opening')
    WHERE NOT EXISTS (SELECT 1 FROM audit_private WHERE event_id = json_extract(NEW.payload, '$.data.redacted')
                      AND path = json_extract(NEW.payload, '$.data.path'));
  DELETE FROM audit_private WHERE event_id = json_extract(NEW.payload, '$.data.redacted')
    AND path = json_extract(NEW.payload, '$.data.path');
  SELECT RAISE(ABORT, 'proofgap: swallowed: the opening is still there')
    WHERE EXISTS (SELECT 1 FROM audit_private WHERE event_id = json_extract(NEW.payload, '$.data.redacted')
                  AND path = json_extract(NEW.payload, '$.data.path'));
END
--;
CREATE TRIGGER audit_event_holds AFTER INSERT ON audit_event WHEN NEW.type = 'audit.held' BEGIN
  INSERT INTO audit_hold VALUES (json_extract(NEW.payload, '$.data.hold'), NEW.ws, NEW.env, NEW.run, 1, NEW.event_id);
  SELECT RAISE(ABORT, 'proofgap: swallowed: the hold was not kept')
    WHERE NOT EXISTS (SELECT 1 FROM audit_hold WHERE last_event_id = NEW.event_id);
END
--;
CREATE TRIGGER audit_event_releases_hold AFTER INSERT ON audit_event WHEN NEW.type = 'audit.hold_released' BEGIN
  SELECT RAISE(ABORT, 'proofgap: there is no such hold in force')
    WHERE NOT EXISTS (SELECT 1 FROM audit_hold WHERE id = json_extract(NEW.payload, '$.data.hold') AND active = 1);
  UPDATE audit_hold SET active = 0, last_event_id = NEW.event_id WHERE id = json_extract(NEW.payload, '$.data.hold');
  SELECT RAISE(ABORT, 'proofgap: swallowed: the hold was not released') WHERE changes() <> 1;
END
--;
CREATE TRIGGER audit_hold_begins_in_the_log BEFORE INSERT ON audit_hold
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'audit.held'
    AND json_extract(payload, '$.data.hold') = NEW.id AND ws IS NEW.workspace AND env IS NEW.environment AND run IS NEW.run)
  OR EXISTS (SELECT 1 FROM audit_hold WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: audit_hold is written through the log only');
END
--;
CREATE TRIGGER audit_hold_ends_in_the_log BEFORE UPDATE ON audit_hold
WHEN NEW.id IS NOT OLD.id OR NEW.workspace IS NOT OLD.workspace OR NEW.environment IS NOT OLD.environment
  OR NEW.run IS NOT OLD.run OR OLD.active <> 1 OR NEW.active <> 0
  OR NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'audit.hold_released'
    AND json_extract(payload, '$.data.hold') = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: audit_hold is written through the log only');
END
--;
CREATE TRIGGER audit_hold_is_never_deleted BEFORE DELETE ON audit_hold BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of audit_hold are never deleted');
END
--;
CREATE TRIGGER audit_event_prunes AFTER INSERT ON audit_event WHEN NEW.type = 'audit.pruned' BEGIN
  SELECT RAISE(ABORT, 'proofgap: only the prefix after the last pruning, and before the last checkpoint, can be pruned')
    WHERE json_extract(NEW.payload, '$.data.first') IS NOT (
        SELECT coalesce(max(json_extract(payload, '$.data.last')) + 1, 0) FROM audit_event
        WHERE type = 'audit.pruned' AND event_id < NEW.event_id)
      OR json_extract(NEW.payload, '$.data.last') < json_extract(NEW.payload, '$.data.first')
      OR json_extract(NEW.payload, '$.data.last') IS NULL
      OR NOT EXISTS (
        SELECT 1 FROM audit_checkpoint WHERE size = json_extract(NEW.payload, '$.data.size')
          AND root = json_extract(NEW.payload, '$.data.root') AND size > json_extract(NEW.payload, '$.data.last'));
  SELECT RAISE(ABORT, 'proofgap: a hold is in force within the prefix')
    WHERE EXISTS (
      SELECT 1 FROM audit_leaf AS l JOIN audit_event AS e ON e.event_id = l.event_id, audit_hold AS h
      WHERE l.idx BETWEEN json_extract(NEW.payload, '$.data.first') AND json_extract(NEW.payload, '$.data.last')
        AND e.stream NOT GLOB 'system/*' AND h.active = 1 AND (
          (h.workspace IS NULL OR h.workspace = e.ws)
          AND (h.environment IS NULL OR h.environment = e.env) AND (h.run IS NULL OR h.run = e.run)
          OR e.type = 'restore.decision.listed' AND EXISTS (
            SELECT 1 FROM json_each(e.payload, '$.data.rows') AS line JOIN restore_run AS r ON r.id = line.value ->> 0
            WHERE (h.workspace IS NULL OR h.workspace = r.workspace)
              AND (h.environment IS NULL OR h.environment = r.environment) AND (h.run IS NULL OR h.run = r.id))));
  SELECT RAISE(ABORT, 'proofgap: a pruning commits to its tombstones')
    WHERE length(json_extract(NEW.payload, '$.data.tombstones_sha256')) IS NOT 64
       OR json_extract(NEW.payload, '$.data.tombstones') IS NOT (
         SELECT count(*) FROM audit_tombstone
         WHERE idx BETWEEN json_extract(NEW.payload, '$.data.first') AND json_extract(NEW.payload, '$.data.last'));
  DELETE FROM audit_private WHERE event_id IN (
    SELECT event_id FROM audit_tombstone
    WHERE idx BETWEEN json_extract(NEW.payload, '$.data.first') AND json_extract(NEW.payload, '$.data.last'));
  UPDATE audit_event SET payload = t.tombstone FROM audit_tombstone AS t
    WHERE t.event_id = audit_event.event_id
      AND t.idx BETWEEN json_extract(NEW.payload, '$.data.first') AND json_extract(NEW.payload, '$.data.last');
  SELECT RAISE(ABORT, 'proofgap: swallowed: not every payload was pruned')
    WHERE changes() <> json_extract(NEW.payload, '$.data.tombstones');
END
--;
DROP TRIGGER audit_event_is_append_only_update
--;
CREATE TRIGGER audit_event_is_append_only_update BEFORE UPDATE ON audit_event
WHEN NEW.event_id IS NOT OLD.event_id OR NEW.leaf IS NOT OLD.leaf OR NEW.payload IS NOT (
    SELECT t.tombstone FROM audit_tombstone AS t, audit_event AS p
    WHERE t.event_id = OLD.event_id AND p.event_id = (SELECT max(event_id) FROM audit_event) AND p.type = 'audit.pruned'
      AND t.idx BETWEEN json_extract(p.payload, '$.data.first') AND json_extract(p.payload, '$.data.last')) BEGIN
  SELECT RAISE(ABORT, 'proofgap: audit_event is append-only');
END
