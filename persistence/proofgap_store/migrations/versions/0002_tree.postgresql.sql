-- The tree over the log on PostgreSQL; the same tables and guards as on SQLite (0002_tree.sqlite.sql).
-- Statements are separated by a line that holds only "--;".

CREATE TABLE audit_unsequenced (
  event_id BIGINT PRIMARY KEY
)
--;
CREATE TABLE audit_leaf (
  idx      BIGINT PRIMARY KEY CHECK (idx >= 0),
  event_id BIGINT NOT NULL UNIQUE,
  hash     TEXT COLLATE "C" NOT NULL CHECK (length(hash) = 64)
)
--;
CREATE TABLE audit_node (
  level BIGINT NOT NULL CHECK (level >= 1),
  idx   BIGINT NOT NULL CHECK (idx >= 0),
  hash  TEXT COLLATE "C" NOT NULL CHECK (length(hash) = 64),
  PRIMARY KEY (level, idx)
)
--;
CREATE TABLE audit_checkpoint (
  size  BIGINT PRIMARY KEY CHECK (size > 0),
  root  TEXT COLLATE "C" NOT NULL CHECK (length(root) = 64),
  at_us BIGINT NOT NULL,
  note  TEXT COLLATE "C" NOT NULL
)
--;
CREATE TABLE audit_private (
  event_id BIGINT NOT NULL REFERENCES audit_event (event_id),
  path     TEXT COLLATE "C" NOT NULL,
  salt     TEXT COLLATE "C" NOT NULL CHECK (length(salt) = 32),
  value    TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (event_id, path)
)
--;
CREATE TABLE audit_hold (
  id        TEXT COLLATE "C" PRIMARY KEY,
  workspace TEXT COLLATE "C",  -- NULL: any
  environment TEXT COLLATE "C",
  run       TEXT COLLATE "C",
  active    BIGINT NOT NULL CHECK (active IN (0, 1)),
  last_event_id BIGINT NOT NULL
)
--;
CREATE FUNCTION tombstone(of_event audit_event) RETURNS TEXT LANGUAGE sql IMMUTABLE AS $$
  SELECT '{"actor":{"id":"pruned"},"at_us":' || of_event.at_us || ',"env":' || coalesce(to_json(of_event.env)::text, 'null')
    || ',"id":' || to_json(of_event.id) || ',"pruned":' || of_event.event_id
    || ',"rec_us":' || (of_event.payload::json ->> 'rec_us') || ',"run":' || coalesce(to_json(of_event.run)::text, 'null')
    || ',"seq":' || of_event.seq || ',"stream":' || to_json(of_event.stream) || ',"type":' || to_json(of_event.type)
    || ',"v":' || (of_event.payload::json ->> 'v') || ',"ws":' || coalesce(to_json(of_event.ws)::text, 'null') || '}'
$$
--;
CREATE VIEW audit_tombstone AS
SELECT l.idx, e.event_id, tombstone(e) AS tombstone
FROM audit_leaf AS l JOIN audit_event AS e ON e.event_id = l.event_id
WHERE NOT starts_with(e.stream, 'system/')  -- what the ledger says of itself
  AND e.type <> 'restore.evidence.created'  -- nothing else tells when evidence was captured
  AND e.payload::json #>> '{data,rows_digest}' IS NULL  -- items and checks
  AND NOT EXISTS (SELECT 1 FROM restore_run AS r WHERE r.id = e.payload::json #>> '{data,subject}' AND r.last_event_id = e.event_id)
  AND NOT EXISTS (SELECT 1 FROM operation_run AS o WHERE o.id = e.payload::json #>> '{data,subject}' AND o.last_event_id = e.event_id)
  AND NOT EXISTS (SELECT 1 FROM evidence_snapshot AS s WHERE s.id = e.payload::json #>> '{data,subject}' AND s.last_event_id = e.event_id)
  AND NOT EXISTS (SELECT 1 FROM receipt AS r WHERE r.actor = e.actor AND r.key = e.payload::json #>> '{data,key}' AND r.event_id = e.event_id)
--;
CREATE FUNCTION tombstone_due(of_event BIGINT) RETURNS TEXT LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
-- What the pruning that is under way, the last event of the log, leaves of an event; NULL: it does not take it.
DECLARE
  pruning audit_event;
  data json;
BEGIN
  SELECT * INTO pruning FROM audit_event ORDER BY event_id DESC LIMIT 1;
  IF pruning.type <> 'audit.pruned' THEN
    RETURN NULL;
  END IF;
  data := pruning.payload::json -> 'data';
  RETURN (SELECT t.tombstone FROM audit_tombstone AS t
    WHERE t.event_id = of_event AND t.idx BETWEEN (data ->> 'first')::bigint AND (data ->> 'last')::bigint);
END
$$
--;
CREATE INDEX audit_event_actor ON audit_event (actor, event_id)
--;
CREATE INDEX audit_event_type ON audit_event (type, event_id)
--;
INSERT INTO audit_unsequenced SELECT event_id FROM audit_event
--;
CREATE TRIGGER audit_leaf_is_append_only_update BEFORE UPDATE ON audit_leaf FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: audit_leaf is append-only')
--;
CREATE TRIGGER audit_leaf_is_never_deleted BEFORE DELETE ON audit_leaf FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of audit_leaf are never deleted')
--;
CREATE TRIGGER audit_node_is_append_only_update BEFORE UPDATE ON audit_node FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: audit_node is append-only')
--;
CREATE TRIGGER audit_node_is_never_deleted BEFORE DELETE ON audit_node FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of audit_node are never deleted')
--;
CREATE TRIGGER audit_checkpoint_is_append_only_update BEFORE UPDATE ON audit_checkpoint FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: audit_checkpoint is append-only')
--;
CREATE TRIGGER audit_checkpoint_is_never_deleted BEFORE DELETE ON audit_checkpoint FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of audit_checkpoint are never deleted')
--;
CREATE TRIGGER audit_unsequenced_is_never_updated BEFORE UPDATE ON audit_unsequenced FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: audit_unsequenced follows the log only')
--;
CREATE TRIGGER audit_private_is_never_updated BEFORE UPDATE ON audit_private FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: an opening is never changed')
--;
CREATE TRIGGER audit_hold_is_never_deleted BEFORE DELETE ON audit_hold FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of audit_hold are never deleted')
--;
CREATE TRIGGER audit_unsequenced_is_never_emptied BEFORE TRUNCATE ON audit_unsequenced FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of audit_unsequenced are never deleted')
--;
CREATE TRIGGER audit_leaf_is_never_emptied BEFORE TRUNCATE ON audit_leaf FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of audit_leaf are never deleted')
--;
CREATE TRIGGER audit_node_is_never_emptied BEFORE TRUNCATE ON audit_node FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of audit_node are never deleted')
--;
CREATE TRIGGER audit_checkpoint_is_never_emptied BEFORE TRUNCATE ON audit_checkpoint FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of audit_checkpoint are never deleted')
--;
CREATE TRIGGER audit_private_is_never_emptied BEFORE TRUNCATE ON audit_private FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of audit_private are never deleted')
--;
CREATE TRIGGER audit_hold_is_never_emptied BEFORE TRUNCATE ON audit_hold FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of audit_hold are never deleted')
--;
CREATE FUNCTION audit_event_waits_for_its_leaf() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  INSERT INTO audit_unsequenced VALUES (NEW.event_id);
  PERFORM demand_kept(EXISTS (SELECT 1 FROM audit_unsequenced WHERE event_id = NEW.event_id), 'the event was not queued');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_waits_for_its_leaf AFTER INSERT ON audit_event FOR EACH ROW
  EXECUTE FUNCTION audit_event_waits_for_its_leaf()
--;
CREATE FUNCTION audit_unsequenced_inserts_with_its_event() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.event_id)
    AND NOT EXISTS (SELECT 1 FROM audit_leaf WHERE event_id = NEW.event_id), 'audit_unsequenced follows the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER audit_unsequenced_inserts_with_its_event BEFORE INSERT ON audit_unsequenced FOR EACH ROW
  EXECUTE FUNCTION audit_unsequenced_inserts_with_its_event()
--;
CREATE FUNCTION audit_unsequenced_leaves_with_its_leaf() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (SELECT 1 FROM audit_leaf WHERE event_id = OLD.event_id),
    'an event stays in audit_unsequenced until it has its leaf');
  RETURN OLD;
END
$$
--;
CREATE TRIGGER audit_unsequenced_leaves_with_its_leaf BEFORE DELETE ON audit_unsequenced FOR EACH ROW
  EXECUTE FUNCTION audit_unsequenced_leaves_with_its_leaf()
--;
CREATE FUNCTION audit_leaf_takes_turns() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
-- One sequencer at a time, as the write lock has it on SQLite: whoever waited here finds that its batch is stale.
BEGIN
  PERFORM pg_advisory_xact_lock(1886547814, 2);
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_leaf_takes_turns BEFORE INSERT ON audit_leaf FOR EACH STATEMENT
  EXECUTE FUNCTION audit_leaf_takes_turns()
--;
CREATE FUNCTION audit_leaf_grows_by_the_queue() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(NEW.idx = (SELECT coalesce(max(idx) + 1, 0) FROM audit_leaf)
    AND EXISTS (SELECT 1 FROM audit_unsequenced WHERE event_id = NEW.event_id), 'stale tree: the leaf is not the next one');
  PERFORM demand_log(NEW.hash = (SELECT leaf FROM audit_event WHERE event_id = NEW.event_id), 'a leaf is the hash of its event');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER audit_leaf_grows_by_the_queue BEFORE INSERT ON audit_leaf FOR EACH ROW
  EXECUTE FUNCTION audit_leaf_grows_by_the_queue()
--;
CREATE FUNCTION audit_node_is_written_once() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(NOT EXISTS (SELECT 1 FROM audit_node WHERE level = NEW.level AND idx = NEW.idx)
    AND NEW.level < 62 AND ((NEW.idx + 1) << NEW.level::int) <= (SELECT coalesce(max(idx) + 1, 0) FROM audit_leaf),
    'a node is written once, when all its leaves are there');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER audit_node_is_never_replaced BEFORE INSERT ON audit_node FOR EACH ROW
  EXECUTE FUNCTION audit_node_is_written_once()
--;
CREATE FUNCTION audit_checkpoint_covers_the_leaves() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(NEW.size = (SELECT coalesce(max(idx) + 1, 0) FROM audit_leaf)
    AND NOT EXISTS (SELECT 1 FROM audit_checkpoint WHERE size >= NEW.size),
    'stale tree: the checkpoint does not cover the leaves');
  PERFORM demand_log(NEW.at_us > coalesce((SELECT at_us FROM audit_checkpoint ORDER BY size DESC LIMIT 1), NEW.at_us - 1),
    'the time of a checkpoint did not advance');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER audit_checkpoint_covers_the_leaves BEFORE INSERT ON audit_checkpoint FOR EACH ROW
  EXECUTE FUNCTION audit_checkpoint_covers_the_leaves()
--;
CREATE FUNCTION audit_private_opens_a_commitment() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
      SELECT 1 FROM audit_event AS e, json_object_keys(e.payload::json -> 'commit') AS path
      WHERE e.event_id = NEW.event_id AND path = NEW.path)
    AND NOT EXISTS (SELECT 1 FROM audit_private WHERE event_id = NEW.event_id AND path = NEW.path)
    AND NOT EXISTS (SELECT 1 FROM audit_leaf WHERE event_id = NEW.event_id), 'an opening is written with its event only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER audit_private_opens_a_commitment BEFORE INSERT ON audit_private FOR EACH ROW
  EXECUTE FUNCTION audit_private_opens_a_commitment()
--;
CREATE FUNCTION audit_private_leaves_by_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
      SELECT 1 FROM audit_event AS r WHERE r.type = 'audit.redacted'
        AND (r.payload::json #>> '{data,redacted}')::bigint = OLD.event_id AND r.payload::json #>> '{data,path}' = OLD.path)
    OR tombstone_due(OLD.event_id) IS NOT NULL,
    'an opening is deleted by audit.redacted or audit.pruned only');
  RETURN OLD;
END
$$
--;
CREATE TRIGGER audit_private_leaves_by_the_log BEFORE DELETE ON audit_private FOR EACH ROW
  EXECUTE FUNCTION audit_private_leaves_by_the_log()
--;
CREATE FUNCTION audit_event_redacts() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
  opened CONSTANT bigint := (data ->> 'redacted')::bigint;
BEGIN
  PERFORM demand_log(EXISTS (SELECT 1 FROM audit_private WHERE event_id = opened AND path = data ->> 'path'),
    'there is no such opening');
  DELETE FROM audit_private WHERE event_id = opened AND path = data ->> 'path';
  PERFORM demand_kept(NOT EXISTS (SELECT 1 FROM audit_private WHERE event_id = opened AND path = data ->> 'path'),
    'the opening is still there');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_redacts AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'audit.redacted') EXECUTE FUNCTION audit_event_redacts()
--;
CREATE FUNCTION audit_event_holds() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  INSERT INTO audit_hold VALUES (NEW.payload::json #>> '{data,hold}', NEW.ws, NEW.env, NEW.run, 1, NEW.event_id);
  PERFORM demand_kept(EXISTS (SELECT 1 FROM audit_hold WHERE last_event_id = NEW.event_id), 'the hold was not kept');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_holds AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'audit.held') EXECUTE FUNCTION audit_event_holds()
--;
CREATE FUNCTION audit_event_releases_hold() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  released CONSTANT text := NEW.payload::json #>> '{data,hold}';
  is_found BOOLEAN;
BEGIN
  PERFORM demand_log(EXISTS (SELECT 1 FROM audit_hold WHERE id = released AND active = 1), 'there is no such hold in force');
  UPDATE audit_hold SET active = 0, last_event_id = NEW.event_id WHERE id = released;
  is_found := FOUND;
  PERFORM demand_kept(is_found, 'the hold was not released');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_releases_hold AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'audit.hold_released') EXECUTE FUNCTION audit_event_releases_hold()
--;
CREATE FUNCTION audit_hold_begins_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
      SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'audit.held'
        AND payload::json #>> '{data,hold}' = NEW.id
        AND (ws, env, run) IS NOT DISTINCT FROM (NEW.workspace, NEW.environment, NEW.run))
    AND NOT EXISTS (SELECT 1 FROM audit_hold WHERE id = NEW.id), 'audit_hold is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER audit_hold_begins_in_the_log BEFORE INSERT ON audit_hold FOR EACH ROW
  EXECUTE FUNCTION audit_hold_begins_in_the_log()
--;
CREATE FUNCTION audit_hold_ends_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(
    (NEW.id, NEW.workspace, NEW.environment, NEW.run) IS NOT DISTINCT FROM (OLD.id, OLD.workspace, OLD.environment, OLD.run)
    AND OLD.active = 1 AND NEW.active = 0 AND EXISTS (
      SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'audit.hold_released'
        AND payload::json #>> '{data,hold}' = NEW.id), 'audit_hold is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER audit_hold_ends_in_the_log BEFORE UPDATE ON audit_hold FOR EACH ROW
  EXECUTE FUNCTION audit_hold_ends_in_the_log()
--;
CREATE FUNCTION audit_event_prunes() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
  first_idx CONSTANT bigint := (data ->> 'first')::bigint;
  last_idx CONSTANT bigint := (data ->> 'last')::bigint;
  said CONSTANT bigint := (data ->> 'tombstones')::bigint;
  changed bigint;
BEGIN
  PERFORM demand_log(
    first_idx IS NOT DISTINCT FROM (
      SELECT coalesce(max((payload::json #>> '{data,last}')::bigint) + 1, 0) FROM audit_event
      WHERE type = 'audit.pruned' AND event_id < NEW.event_id)
    AND last_idx >= first_idx AND EXISTS (
      SELECT 1 FROM audit_checkpoint
      WHERE size = (data ->> 'size')::bigint AND root = data ->> 'root' AND size > last_idx),
    'only the prefix after the last pruning, and before the last checkpoint, can be pruned');
  PERFORM demand_log(NOT EXISTS (
    SELECT 1 FROM audit_leaf AS l JOIN audit_event AS e ON e.event_id = l.event_id, audit_hold AS h
    WHERE l.idx BETWEEN first_idx AND last_idx AND NOT starts_with(e.stream, 'system/') AND h.active = 1 AND (
      (h.workspace IS NULL OR h.workspace = e.ws)
      AND (h.environment IS NULL OR h.environment = e.env) AND (h.run IS NULL OR h.run = e.run)
      OR e.type = 'restore.decision.listed' AND EXISTS (
        SELECT 1 FROM json_array_elements(e.payload::json #> '{data,rows}') AS line JOIN restore_run AS r ON r.id = line ->> 0
        WHERE (h.workspace IS NULL OR h.workspace = r.workspace)
          AND (h.environment IS NULL OR h.environment = r.environment) AND (h.run IS NULL OR h.run = r.id)))),
    'a hold is in force within the prefix');
  PERFORM demand_log(length(data ->> 'tombstones_sha256') = 64
    AND said = (SELECT count(*) FROM audit_tombstone WHERE idx BETWEEN first_idx AND last_idx), 'a pruning commits to its tombstones');
  DELETE FROM audit_private WHERE event_id IN (
    SELECT event_id FROM audit_tombstone WHERE idx BETWEEN first_idx AND last_idx);
  UPDATE audit_event AS e SET payload = t.tombstone FROM audit_tombstone AS t
    WHERE t.event_id = e.event_id AND t.idx BETWEEN first_idx AND last_idx;
  GET DIAGNOSTICS changed = ROW_COUNT;
  PERFORM demand_kept(changed = said, 'not every payload was pruned');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_prunes AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'audit.pruned') EXECUTE FUNCTION audit_event_prunes()
--;
DROP TRIGGER audit_event_is_append_only_update ON audit_event
--;
CREATE FUNCTION audit_event_is_only_pruned() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(NEW.event_id = OLD.event_id AND NEW.leaf = OLD.leaf AND NEW.payload = tombstone_due(OLD.event_id),
    'audit_event is append-only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER audit_event_is_append_only_update BEFORE UPDATE ON audit_event FOR EACH ROW
  EXECUTE FUNCTION audit_event_is_only_pruned()
--;
DO $$
DECLARE
  found RECORD;
BEGIN
  FOR found IN SELECT tgrelid::regclass AS owner, tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'proofgap'::regnamespace AND NOT t.tgisinternal LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', found.owner, found.tgname);
  END LOOP;
END
$$
