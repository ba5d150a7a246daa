-- The ledger on PostgreSQL, 15 or later: the same tables and guards as on SQLite (0001_initial.sqlite.sql), in the schema
-- `proofgap`. What SQLite's own JSON functions do in queries, functions and operators of the same names do here, so that
-- there is one text of each query. Every trigger is enabled ALWAYS: `session_replication_role` does not get past it.
-- A refusal is an integrity violation (23000). Locks (pg_advisory_xact_lock): class 1886547814, 1: the numbers of events,
-- 2: the tree, 3: the schema.
-- Statements are separated by a line that holds only "--;".

CREATE FUNCTION json_path(path TEXT) RETURNS TEXT[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(array_agg(trim(BOTH '"' FROM found[1])), '{}') FROM regexp_matches(path, '"[^"]*"|[^."$]+', 'g') AS found
$$
--;
CREATE FUNCTION json_at(document TEXT, path TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT document::json #>> proofgap.json_path(path)
$$
--;
CREATE FUNCTION json_at(document TEXT, place INTEGER) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT document::json ->> place
$$
--;
CREATE OPERATOR ->> (FUNCTION = json_at, LEFTARG = TEXT, RIGHTARG = TEXT)
--;
CREATE OPERATOR ->> (FUNCTION = json_at, LEFTARG = TEXT, RIGHTARG = INTEGER)
--;
CREATE FUNCTION json_each(document TEXT, path TEXT DEFAULT '$') RETURNS TABLE (key TEXT, value TEXT)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
  found CONSTANT json := document::json #> proofgap.json_path(path);
BEGIN
  IF json_typeof(found) = 'array' THEN
    RETURN QUERY SELECT (a.place - 1)::text, a.element #>> '{}' FROM json_array_elements(found) WITH ORDINALITY AS a (element, place);
  ELSIF json_typeof(found) = 'object' THEN
    RETURN QUERY SELECT o.key, o.value #>> '{}' FROM pg_catalog.json_each(found) AS o;
  END IF;
END
$$
--;
CREATE FUNCTION json_valid(document TEXT) RETURNS BOOLEAN LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  PERFORM document::json;
  RETURN TRUE;
EXCEPTION WHEN data_exception THEN
  RETURN FALSE;
END
$$
--;
CREATE FUNCTION json_group_object_step(state TEXT, key TEXT, value TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT state || CASE state WHEN '' THEN '' ELSE ',' END || to_json(key) || ':' || to_json(value)
$$
--;
CREATE FUNCTION json_group_object_end(state TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT '{' || state || '}'
$$
--;
CREATE AGGREGATE json_group_object (TEXT, TEXT) (
  SFUNC = json_group_object_step, STYPE = TEXT, INITCOND = '', FINALFUNC = json_group_object_end)
--;
CREATE FUNCTION group_concat_step(state TEXT, value TEXT) RETURNS TEXT LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT state || ',' || value
$$
--;
CREATE AGGREGATE group_concat (TEXT) (SFUNC = group_concat_step, STYPE = TEXT)
--;
CREATE SEQUENCE audit_event_number
--;
CREATE TABLE audit_event (
  event_id BIGINT PRIMARY KEY CHECK (event_id > 0),
  payload  TEXT COLLATE "C" NOT NULL,
  leaf     TEXT COLLATE "C" NOT NULL CHECK (length(leaf) = 64),
  type     TEXT COLLATE "C" NOT NULL GENERATED ALWAYS AS (payload::json ->> 'type') STORED,
  id       TEXT COLLATE "C" NOT NULL GENERATED ALWAYS AS (payload::json ->> 'id') STORED,
  stream   TEXT COLLATE "C" NOT NULL GENERATED ALWAYS AS (payload::json ->> 'stream') STORED,
  seq      BIGINT NOT NULL GENERATED ALWAYS AS ((payload::json ->> 'seq')::bigint) STORED,
  ws       TEXT COLLATE "C" GENERATED ALWAYS AS (payload::json ->> 'ws') STORED,
  env      TEXT COLLATE "C" GENERATED ALWAYS AS (payload::json ->> 'env') STORED,
  run      TEXT COLLATE "C" GENERATED ALWAYS AS (payload::json ->> 'run') STORED,
  actor    TEXT COLLATE "C" NOT NULL GENERATED ALWAYS AS (payload::json #>> '{actor,id}') STORED,
  at_us    BIGINT NOT NULL GENERATED ALWAYS AS ((payload::json ->> 'at_us')::bigint) STORED
)
--;
CREATE UNIQUE INDEX audit_event_id ON audit_event (id)
--;
CREATE UNIQUE INDEX audit_event_link ON audit_event (stream, seq)
--;
CREATE INDEX audit_event_run ON audit_event (run, event_id)
--;
CREATE TABLE audit_stream (
  stream TEXT COLLATE "C" PRIMARY KEY,
  seq    BIGINT NOT NULL CHECK (seq >= 0),
  head   TEXT COLLATE "C" NOT NULL CHECK (length(head) = 64),
  last_event_id BIGINT NOT NULL
)
--;
CREATE TABLE machine_definition (
  definition    TEXT COLLATE "C" PRIMARY KEY CHECK (length(definition) = 64),
  machine       TEXT COLLATE "C" NOT NULL CHECK (machine IN ('run', 'operation', 'evidence')),
  last_event_id BIGINT NOT NULL
)
--;
CREATE TABLE machine_edge (
  definition TEXT COLLATE "C" NOT NULL REFERENCES machine_definition (definition),
  source     TEXT COLLATE "C" NOT NULL,
  event      TEXT COLLATE "C" NOT NULL,
  target     TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (definition, source, event, target),
  CHECK (source NOT IN ('completed', 'partial', 'completed_with_errors', 'failed', 'cancelled', 'superseded', 'expired'))
)
--;
CREATE TABLE environment (
  workspace TEXT COLLATE "C" NOT NULL,
  id        TEXT COLLATE "C" NOT NULL CHECK (id <> '*'),
  approvals_required BIGINT NOT NULL CHECK (approvals_required >= 0),
  last_event_id BIGINT NOT NULL,
  PRIMARY KEY (workspace, id)
)
--;
CREATE TABLE access_grant (
  principal   TEXT COLLATE "C" NOT NULL,
  workspace   TEXT COLLATE "C" NOT NULL,
  environment TEXT COLLATE "C" NOT NULL,  -- '*' means all environments of the workspace
  role        TEXT COLLATE "C" NOT NULL CHECK (role IN ('viewer', 'operator', 'worker', 'auditor', 'admin')),
  active      BIGINT NOT NULL CHECK (active IN (0, 1)),
  last_event_id BIGINT NOT NULL,
  PRIMARY KEY (principal, workspace, environment, role)
)
--;
CREATE TABLE operation_run (
  id          TEXT COLLATE "C" PRIMARY KEY,
  workspace   TEXT COLLATE "C" NOT NULL,
  environment TEXT COLLATE "C" NOT NULL,
  run         TEXT COLLATE "C",
  status      TEXT COLLATE "C" NOT NULL CHECK (status IN ('queued', 'running', 'completed')),
  outcome     TEXT COLLATE "C" CHECK (outcome IN ('succeeded', 'partially_succeeded', 'failed', 'blocked', 'cancelled')),
  version     BIGINT NOT NULL CHECK (version >= 1),
  imported    BIGINT NOT NULL CHECK (imported IN (0, 1)),
  last_event_id BIGINT NOT NULL,
  UNIQUE (workspace, environment, id),
  FOREIGN KEY (workspace, environment) REFERENCES environment (workspace, id)
)
--;
CREATE TABLE restore_run (
  id          TEXT COLLATE "C" PRIMARY KEY,
  workspace   TEXT COLLATE "C" NOT NULL,
  environment TEXT COLLATE "C" NOT NULL,
  status      TEXT COLLATE "C" NOT NULL CHECK (status IN ('draft', 'scoped', 'checked', 'previewed', 'queued', 'running',
                'completed', 'partial', 'completed_with_errors', 'failed', 'cancelled')),
  version     BIGINT NOT NULL CHECK (version >= 1),
  is_dry_run  BIGINT NOT NULL CHECK (is_dry_run IN (0, 1)),
  operation_run_id  TEXT COLLATE "C",  -- a link in scope: the key holds workspace and environment too
  operation_run_ref TEXT COLLATE "C",  -- what an imported record named that is no link: kept as text
  details     TEXT COLLATE "C" NOT NULL CHECK (json_valid(details)),
  imported    BIGINT NOT NULL CHECK (imported IN (0, 1)),
  created_at_us BIGINT NOT NULL,
  last_event_id BIGINT NOT NULL,
  FOREIGN KEY (workspace, environment) REFERENCES environment (workspace, id),
  FOREIGN KEY (workspace, environment, operation_run_id) REFERENCES operation_run (workspace, environment, id)
    DEFERRABLE INITIALLY DEFERRED
)
--;
CREATE INDEX restore_run_scope ON restore_run (workspace, environment, created_at_us, id)
--;
CREATE TABLE evidence_snapshot (
  id          TEXT COLLATE "C" PRIMARY KEY,
  workspace   TEXT COLLATE "C" NOT NULL,
  environment TEXT COLLATE "C" NOT NULL,
  operation_run_id  TEXT COLLATE "C",
  operation_run_ref TEXT COLLATE "C",
  run         TEXT COLLATE "C",
  status      TEXT COLLATE "C" NOT NULL CHECK (status IN ('queued', 'generating', 'active', 'superseded', 'expired', 'failed')),
  version     BIGINT NOT NULL CHECK (version >= 1),
  captured_at_us BIGINT,
  details     TEXT COLLATE "C" NOT NULL CHECK (json_valid(details)),
  imported    BIGINT NOT NULL CHECK (imported IN (0, 1)),
  last_event_id BIGINT NOT NULL,
  FOREIGN KEY (workspace, environment) REFERENCES environment (workspace, id),
  FOREIGN KEY (workspace, environment, operation_run_id) REFERENCES operation_run (workspace, environment, id)
    DEFERRABLE INITIALLY DEFERRED
)
--;
CREATE INDEX evidence_snapshot_operation ON evidence_snapshot (operation_run_id)
--;
CREATE UNIQUE INDEX evidence_snapshot_one_active ON evidence_snapshot (operation_run_id)
  WHERE status = 'active' AND imported = 0
--;
CREATE TABLE result_item (
  run         TEXT COLLATE "C" NOT NULL REFERENCES restore_run (id),
  item_key    TEXT COLLATE "C" NOT NULL,
  result      TEXT COLLATE "C" NOT NULL CHECK (result IN ('succeeded', 'failed', 'skipped', 'partial', 'non_applied')),
  document    TEXT COLLATE "C" NOT NULL CHECK (json_valid(document)),
  event_id    BIGINT NOT NULL REFERENCES audit_event (event_id),
  PRIMARY KEY (run, item_key)
)
--;
CREATE TABLE evidence_check (
  snapshot    TEXT COLLATE "C" NOT NULL REFERENCES evidence_snapshot (id),
  number      BIGINT NOT NULL CHECK (number >= 0),
  result      TEXT COLLATE "C" NOT NULL CHECK (result IN ('passed', 'failed', 'skipped')),
  document    TEXT COLLATE "C" NOT NULL CHECK (json_valid(document)),
  event_id    BIGINT NOT NULL REFERENCES audit_event (event_id),
  PRIMARY KEY (snapshot, number)
)
--;
CREATE TABLE receipt (
  actor       TEXT COLLATE "C" NOT NULL,
  key         TEXT COLLATE "C" NOT NULL,
  fingerprint TEXT COLLATE "C" NOT NULL CHECK (length(fingerprint) = 64),
  body        TEXT COLLATE "C" NOT NULL CHECK (json_valid(body)),
  event_id    BIGINT NOT NULL REFERENCES audit_event (event_id),
  PRIMARY KEY (actor, key)
)
--;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = 'integrity_constraint_violation';
END
$$
--;
CREATE FUNCTION settled_number() RETURNS BIGINT LANGUAGE plpgsql
SET search_path = proofgap, pg_temp SET lock_timeout = '2s' AS $$
-- The number up to which every event is there, or never will be: whoever writes holds the lock of the numbers until
-- the end, so that nobody who waited here sees a number whose transaction is still under way. New writers wait behind
-- whoever waits here, so nobody waits long: a writer that is stuck must not stop the others.
DECLARE
  number BIGINT;
BEGIN
  PERFORM pg_advisory_xact_lock(1886547814, 1);
  SELECT last_value INTO number FROM audit_event_number;
  RETURN number;
END
$$
--;
CREATE FUNCTION audit_event_is_numbered() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
-- Writers hold the lock of the numbers together; who changes grants or environments holds it alone, so that a
-- permission that was looked up after the insert stands until the commit. So does who prunes: it is the last event of
-- the log until then, and nothing that it takes comes to be needed meanwhile.
BEGIN
  IF NEW.event_id IS NOT NULL THEN
    RAISE EXCEPTION 'proofgap: event_id is given by the database' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  IF position('"stream":"system/ledger"' IN NEW.payload) > 0 OR position('"type":"audit.pruned"' IN NEW.payload) > 0 THEN
    PERFORM pg_advisory_xact_lock(1886547814, 1);
  ELSE
    PERFORM pg_advisory_xact_lock_shared(1886547814, 1);
  END IF;
  NEW.event_id := nextval('audit_event_number');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER audit_event_is_numbered_by_the_database BEFORE INSERT ON audit_event FOR EACH ROW
  EXECUTE FUNCTION audit_event_is_numbered()
--;
CREATE FUNCTION names_a_key_twice(document JSON) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE AS $$
  SELECT json_typeof(document) = 'object'
    AND (SELECT count(*) <> count(DISTINCT key) FROM json_object_keys(CASE json_typeof(document) WHEN 'object' THEN document END) AS key)
$$
--;
CREATE FUNCTION audit_event_links() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  body CONSTANT json := NEW.payload::json;
  before audit_stream;
BEGIN
  IF regexp_replace(NEW.payload, '"([^"\\]|\\.)*"', '', 'g') ~ '\s' OR names_a_key_twice(body)
     OR names_a_key_twice(body -> 'data') OR names_a_key_twice(body #> '{data,details}') THEN
    RAISE EXCEPTION 'proofgap: the event is not in canonical form' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  SELECT * INTO before FROM audit_stream WHERE stream = NEW.stream FOR UPDATE;
  IF body ->> 'prev' IS DISTINCT FROM coalesce(before.head, repeat('0', 64)) OR NEW.seq <> coalesce(before.seq + 1, 0) THEN
    RAISE EXCEPTION 'proofgap: stale stream: the event does not follow the head of its stream'
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  INSERT INTO audit_stream (stream, seq, head, last_event_id) VALUES (NEW.stream, NEW.seq, NEW.leaf, NEW.event_id)
    ON CONFLICT (stream) DO UPDATE SET seq = NEW.seq, head = NEW.leaf, last_event_id = NEW.event_id;
  IF NOT EXISTS (SELECT 1 FROM audit_stream WHERE stream = NEW.stream AND last_event_id = NEW.event_id) THEN
    RAISE EXCEPTION 'proofgap: swallowed: the head of the stream was not kept' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_links AFTER INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION audit_event_links()
--;
CREATE FUNCTION demand_edge(of_machine TEXT, data JSON) RETURNS VOID LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  IF NOT EXISTS (
    SELECT 1 FROM machine_edge
    WHERE definition = data ->> 'definition' AND source = data ->> 'source' AND event = data ->> 'event'
      AND target = data ->> 'target' AND definition = (
        SELECT d.definition FROM machine_definition AS d WHERE d.machine = of_machine ORDER BY last_event_id DESC LIMIT 1)) THEN
    RAISE EXCEPTION 'proofgap: illegal edge: the machine in force has no such move' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
END
$$
--;
CREATE FUNCTION demand_kept(is_kept BOOLEAN, what TEXT) RETURNS VOID LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  IF is_kept IS NOT TRUE THEN
    RAISE EXCEPTION USING MESSAGE = 'proofgap: swallowed: ' || what, ERRCODE = 'integrity_constraint_violation';
  END IF;
END
$$
--;
CREATE FUNCTION demand_found(is_found BOOLEAN) RETURNS VOID LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  IF is_found IS NOT TRUE THEN
    RAISE EXCEPTION 'proofgap: stale record: its status or version is not the one the event names'
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
END
$$
--;
CREATE FUNCTION audit_event_creates_run() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
BEGIN
  IF NEW.type = 'restore.run.created' AND data ->> 'target' IS DISTINCT FROM 'draft' THEN
    RAISE EXCEPTION 'proofgap: illegal edge: a run begins as a draft' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  INSERT INTO restore_run VALUES (
    data ->> 'subject', NEW.ws, NEW.env, data ->> 'target', 1, (data ->> 'is_dry_run')::boolean::int, NEW.payload::json ->> 'op',
    data ->> 'operation_run_ref', data ->> 'details', (NEW.type = 'restore.run.imported')::int, NEW.at_us, NEW.event_id);
  PERFORM demand_kept(EXISTS (SELECT 1 FROM restore_run WHERE id = data ->> 'subject' AND last_event_id = NEW.event_id),
                      'the row was not kept');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_creates_run AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type IN ('restore.run.created', 'restore.run.imported')) EXECUTE FUNCTION audit_event_creates_run()
--;
CREATE FUNCTION audit_event_moves_run() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
  moved CONSTANT text := data ->> 'subject';
  is_found BOOLEAN;
BEGIN
  PERFORM demand_edge('run', data);
  PERFORM demand_found(EXISTS (
    SELECT 1 FROM restore_run WHERE id = moved AND workspace = NEW.ws AND environment = NEW.env
      AND status = data ->> 'source' AND version = (data ->> 'version')::bigint - 1));
  UPDATE restore_run SET
    status = data ->> 'target', version = version + 1, operation_run_id = NEW.payload::json ->> 'op',
    details = data ->> 'details', last_event_id = NEW.event_id
  WHERE id = moved AND workspace = NEW.ws AND environment = NEW.env
    AND status = data ->> 'source' AND version = (data ->> 'version')::bigint - 1;
  is_found := FOUND;
  PERFORM demand_kept(is_found, 'the record was not moved');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_moves_run AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'restore.run.transitioned') EXECUTE FUNCTION audit_event_moves_run()
--;
CREATE FUNCTION audit_event_creates_operation() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
BEGIN
  IF NEW.type = 'restore.operation.created' AND data ->> 'target' IS DISTINCT FROM 'queued' THEN
    RAISE EXCEPTION 'proofgap: illegal edge: an operation run begins as queued' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  INSERT INTO operation_run VALUES (
    data ->> 'subject', NEW.ws, NEW.env, NEW.run, data ->> 'target', data ->> 'outcome', 1,
    (NEW.type = 'restore.operation.imported')::int, NEW.event_id);
  PERFORM demand_kept(EXISTS (SELECT 1 FROM operation_run WHERE id = data ->> 'subject' AND last_event_id = NEW.event_id),
                      'the row was not kept');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_creates_operation AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type IN ('restore.operation.created', 'restore.operation.imported')) EXECUTE FUNCTION audit_event_creates_operation()
--;
CREATE FUNCTION audit_event_moves_operation() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
  moved CONSTANT text := data ->> 'subject';
  is_found BOOLEAN;
BEGIN
  PERFORM demand_edge('operation', data);
  PERFORM demand_found(EXISTS (
    SELECT 1 FROM operation_run WHERE id = moved AND workspace = NEW.ws AND environment = NEW.env
      AND status = data ->> 'source' AND version = (data ->> 'version')::bigint - 1));
  UPDATE operation_run SET
    status = data ->> 'target', version = version + 1, outcome = data ->> 'outcome', last_event_id = NEW.event_id
  WHERE id = moved AND workspace = NEW.ws AND environment = NEW.env
    AND status = data ->> 'source' AND version = (data ->> 'version')::bigint - 1;
  is_found := FOUND;
  PERFORM demand_kept(is_found, 'the record was not moved');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_moves_operation AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'restore.operation.transitioned') EXECUTE FUNCTION audit_event_moves_operation()
--;
CREATE FUNCTION audit_event_creates_evidence() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
BEGIN
  IF NEW.type = 'restore.evidence.created' AND data ->> 'target' IS DISTINCT FROM 'queued' THEN
    RAISE EXCEPTION 'proofgap: illegal edge: an evidence snapshot begins as queued' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  INSERT INTO evidence_snapshot VALUES (
    data ->> 'subject', NEW.ws, NEW.env, NEW.payload::json ->> 'op', data ->> 'operation_run_ref', NEW.run, data ->> 'target', 1,
    (data ->> 'captured_at_us')::bigint, data ->> 'details', (NEW.type = 'restore.evidence.imported')::int, NEW.event_id);
  PERFORM demand_kept(EXISTS (SELECT 1 FROM evidence_snapshot WHERE id = data ->> 'subject' AND last_event_id = NEW.event_id),
                      'the row was not kept');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_creates_evidence AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type IN ('restore.evidence.created', 'restore.evidence.imported')) EXECUTE FUNCTION audit_event_creates_evidence()
--;
CREATE FUNCTION audit_event_moves_evidence() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
  moved CONSTANT text := data ->> 'subject';
  is_found BOOLEAN;
BEGIN
  PERFORM demand_edge('evidence', data);
  PERFORM demand_found(EXISTS (
    SELECT 1 FROM evidence_snapshot WHERE id = moved AND workspace = NEW.ws AND environment = NEW.env
      AND status = data ->> 'source' AND version = (data ->> 'version')::bigint - 1));
  IF data ->> 'target' = 'active' AND EXISTS (
    SELECT 1 FROM evidence_snapshot
    WHERE operation_run_id = NEW.payload::json ->> 'op' AND status = 'active' AND imported = 0) THEN
    RAISE EXCEPTION 'proofgap: another snapshot of the operation run is active' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  UPDATE evidence_snapshot SET
    status = data ->> 'target', version = version + 1, details = data ->> 'details', last_event_id = NEW.event_id
  WHERE id = moved AND workspace = NEW.ws AND environment = NEW.env
    AND status = data ->> 'source' AND version = (data ->> 'version')::bigint - 1;
  is_found := FOUND;
  PERFORM demand_kept(is_found, 'the record was not moved');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_moves_evidence AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'restore.evidence.transitioned') EXECUTE FUNCTION audit_event_moves_evidence()
--;
CREATE FUNCTION audit_event_grants() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
BEGIN
  INSERT INTO access_grant VALUES (
    data ->> 'principal', NEW.ws, coalesce(NEW.env, '*'), data ->> 'role', (NEW.type = 'access.granted')::int, NEW.event_id)
    ON CONFLICT (principal, workspace, environment, role)
    DO UPDATE SET active = excluded.active, last_event_id = excluded.last_event_id;
  PERFORM demand_kept(EXISTS (SELECT 1 FROM access_grant WHERE last_event_id = NEW.event_id), 'the row was not kept');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_grants AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type IN ('access.granted', 'access.revoked')) EXECUTE FUNCTION audit_event_grants()
--;
CREATE FUNCTION audit_event_declares_environment() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  INSERT INTO environment VALUES (NEW.ws, NEW.env, (NEW.payload::json #>> '{data,approvals_required}')::bigint, NEW.event_id)
    ON CONFLICT (workspace, id)
    DO UPDATE SET approvals_required = excluded.approvals_required, last_event_id = excluded.last_event_id;
  PERFORM demand_kept(EXISTS (SELECT 1 FROM environment WHERE last_event_id = NEW.event_id), 'the row was not kept');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_declares_environment AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'environment.declared') EXECUTE FUNCTION audit_event_declares_environment()
--;
CREATE FUNCTION audit_event_defines_machine() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
BEGIN
  INSERT INTO machine_definition VALUES (data ->> 'definition', data ->> 'machine', NEW.event_id);
  INSERT INTO machine_edge
    SELECT data ->> 'definition', edge ->> 0, edge ->> 1, edge ->> 2 FROM json_array_elements(data -> 'edges') AS edge
    ON CONFLICT DO NOTHING;
  PERFORM demand_kept(EXISTS (SELECT 1 FROM machine_definition WHERE last_event_id = NEW.event_id), 'the row was not kept');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_defines_machine AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'machine.defined') EXECUTE FUNCTION audit_event_defines_machine()
--;
CREATE TRIGGER audit_event_is_append_only_update BEFORE UPDATE ON audit_event FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: audit_event is append-only')
--;
CREATE TRIGGER machine_definition_is_append_only_update BEFORE UPDATE ON machine_definition FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: machine_definition is append-only')
--;
CREATE TRIGGER machine_edge_is_append_only_update BEFORE UPDATE ON machine_edge FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: machine_edge is append-only')
--;
CREATE TRIGGER result_item_is_append_only_update BEFORE UPDATE ON result_item FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: result_item is append-only')
--;
CREATE TRIGGER evidence_check_is_append_only_update BEFORE UPDATE ON evidence_check FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: evidence_check is append-only')
--;
CREATE TRIGGER receipt_is_append_only_update BEFORE UPDATE ON receipt FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: receipt is append-only')
--;
CREATE TRIGGER audit_event_is_never_deleted BEFORE DELETE ON audit_event FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of audit_event are never deleted')
--;
CREATE TRIGGER machine_definition_is_never_deleted BEFORE DELETE ON machine_definition FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of machine_definition are never deleted')
--;
CREATE TRIGGER machine_edge_is_never_deleted BEFORE DELETE ON machine_edge FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of machine_edge are never deleted')
--;
CREATE TRIGGER result_item_is_never_deleted BEFORE DELETE ON result_item FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of result_item are never deleted')
--;
CREATE TRIGGER evidence_check_is_never_deleted BEFORE DELETE ON evidence_check FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of evidence_check are never deleted')
--;
CREATE TRIGGER receipt_is_never_deleted BEFORE DELETE ON receipt FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of receipt are never deleted')
--;
CREATE TRIGGER audit_stream_is_never_deleted BEFORE DELETE ON audit_stream FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of audit_stream are never deleted')
--;
CREATE TRIGGER environment_is_never_deleted BEFORE DELETE ON environment FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of environment are never deleted')
--;
CREATE TRIGGER access_grant_is_never_deleted BEFORE DELETE ON access_grant FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of access_grant are never deleted')
--;
CREATE TRIGGER restore_run_is_never_deleted BEFORE DELETE ON restore_run FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of restore_run are never deleted')
--;
CREATE TRIGGER operation_run_is_never_deleted BEFORE DELETE ON operation_run FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of operation_run are never deleted')
--;
CREATE TRIGGER evidence_snapshot_is_never_deleted BEFORE DELETE ON evidence_snapshot FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of evidence_snapshot are never deleted')
--;
CREATE TRIGGER audit_event_is_never_emptied BEFORE TRUNCATE ON audit_event FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of audit_event are never deleted')
--;
CREATE TRIGGER machine_definition_is_never_emptied BEFORE TRUNCATE ON machine_definition FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of machine_definition are never deleted')
--;
CREATE TRIGGER machine_edge_is_never_emptied BEFORE TRUNCATE ON machine_edge FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of machine_edge are never deleted')
--;
CREATE TRIGGER result_item_is_never_emptied BEFORE TRUNCATE ON result_item FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of result_item are never deleted')
--;
CREATE TRIGGER evidence_check_is_never_emptied BEFORE TRUNCATE ON evidence_check FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of evidence_check are never deleted')
--;
CREATE TRIGGER receipt_is_never_emptied BEFORE TRUNCATE ON receipt FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of receipt are never deleted')
--;
CREATE TRIGGER audit_stream_is_never_emptied BEFORE TRUNCATE ON audit_stream FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of audit_stream are never deleted')
--;
CREATE TRIGGER environment_is_never_emptied BEFORE TRUNCATE ON environment FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of environment are never deleted')
--;
CREATE TRIGGER access_grant_is_never_emptied BEFORE TRUNCATE ON access_grant FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of access_grant are never deleted')
--;
CREATE TRIGGER restore_run_is_never_emptied BEFORE TRUNCATE ON restore_run FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of restore_run are never deleted')
--;
CREATE TRIGGER operation_run_is_never_emptied BEFORE TRUNCATE ON operation_run FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of operation_run are never deleted')
--;
CREATE TRIGGER evidence_snapshot_is_never_emptied BEFORE TRUNCATE ON evidence_snapshot FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of evidence_snapshot are never deleted')
--;
CREATE FUNCTION demand_log(is_logged BOOLEAN, reason TEXT) RETURNS VOID LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  IF is_logged IS NOT TRUE THEN
    RAISE EXCEPTION USING MESSAGE = 'proofgap: ' || reason, ERRCODE = 'integrity_constraint_violation';
  END IF;
END
$$
--;
CREATE FUNCTION machine_definition_begins_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
    SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'machine.defined'
      AND payload::json #>> '{data,definition}' = NEW.definition AND payload::json #>> '{data,machine}' = NEW.machine),
    'machine_definition is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER machine_definition_begins_in_the_log BEFORE INSERT ON machine_definition FOR EACH ROW
  EXECUTE FUNCTION machine_definition_begins_in_the_log()
--;
CREATE FUNCTION machine_edge_begins_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
    SELECT 1 FROM machine_definition AS d JOIN audit_event AS e ON e.event_id = d.last_event_id,
      json_array_elements(e.payload::json #> '{data,edges}') AS edge
    WHERE d.definition = NEW.definition AND edge ->> 0 = NEW.source AND edge ->> 1 = NEW.event AND edge ->> 2 = NEW.target),
    'machine_edge is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER machine_edge_begins_in_the_log BEFORE INSERT ON machine_edge FOR EACH ROW
  EXECUTE FUNCTION machine_edge_begins_in_the_log()
--;
CREATE FUNCTION receipt_belongs_to_its_request() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
    SELECT 1 FROM audit_event WHERE event_id = NEW.event_id AND actor = NEW.actor
      AND payload::json #>> '{data,key}' = NEW.key AND payload::json #>> '{data,request}' = NEW.fingerprint),
    'receipts are written with their request only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER receipt_belongs_to_its_request BEFORE INSERT ON receipt FOR EACH ROW
  EXECUTE FUNCTION receipt_belongs_to_its_request()
--;
CREATE FUNCTION result_item_belongs_to_a_report() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
    SELECT 1 FROM audit_event AS e JOIN restore_run AS r ON r.last_event_id = e.event_id
    WHERE e.event_id = NEW.event_id AND e.run = NEW.run AND r.id = NEW.run
      AND e.type = 'restore.run.transitioned' AND e.payload::json #>> '{data,event}' = 'report'),
    'item rows are written with their report only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER result_item_belongs_to_a_report BEFORE INSERT ON result_item FOR EACH ROW
  EXECUTE FUNCTION result_item_belongs_to_a_report()
--;
CREATE FUNCTION evidence_check_belongs_to_its_snapshot() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
    SELECT 1 FROM audit_event AS e JOIN evidence_snapshot AS s ON s.last_event_id = e.event_id
    WHERE e.event_id = NEW.event_id AND e.type = 'restore.evidence.transitioned' AND s.id = NEW.snapshot
      AND e.payload::json #>> '{data,subject}' = NEW.snapshot AND e.payload::json #>> '{data,target}' IN ('active', 'failed')
      AND NEW.number < coalesce((s.details::json ->> 'checks_total')::bigint, 0)),
    'checks are written with their snapshot only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER evidence_check_belongs_to_its_snapshot BEFORE INSERT ON evidence_check FOR EACH ROW
  EXECUTE FUNCTION evidence_check_belongs_to_its_snapshot()
--;
CREATE FUNCTION restore_run_begins_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
    SELECT 1 FROM audit_event, LATERAL (SELECT payload::json -> 'data' AS data) AS said
    WHERE event_id = NEW.last_event_id AND type IN ('restore.run.created', 'restore.run.imported')
      AND data ->> 'subject' = NEW.id AND data ->> 'target' = NEW.status AND ws = NEW.workspace AND env = NEW.environment
      AND data ->> 'details' IS NOT DISTINCT FROM NEW.details AND payload::json ->> 'op' IS NOT DISTINCT FROM NEW.operation_run_id),
    'restore_run is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER restore_run_begins_in_the_log BEFORE INSERT ON restore_run FOR EACH ROW
  EXECUTE FUNCTION restore_run_begins_in_the_log()
--;
CREATE FUNCTION restore_run_moves_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(
    OLD.status NOT IN ('completed', 'partial', 'completed_with_errors', 'failed', 'cancelled')
    AND NEW.version = OLD.version + 1
    AND (NEW.id, NEW.workspace, NEW.environment, NEW.is_dry_run, NEW.operation_run_ref, NEW.imported, NEW.created_at_us)
      IS NOT DISTINCT FROM
      (OLD.id, OLD.workspace, OLD.environment, OLD.is_dry_run, OLD.operation_run_ref, OLD.imported, OLD.created_at_us)
    AND EXISTS (
      SELECT 1 FROM audit_event, LATERAL (SELECT payload::json -> 'data' AS data) AS said
      WHERE event_id = NEW.last_event_id AND type = 'restore.run.transitioned'
        AND data ->> 'subject' = NEW.id AND data ->> 'source' = OLD.status AND data ->> 'target' = NEW.status
        AND (data ->> 'version')::bigint = NEW.version AND data ->> 'details' IS NOT DISTINCT FROM NEW.details
        AND payload::json ->> 'op' IS NOT DISTINCT FROM NEW.operation_run_id),
    'restore_run is written through the log only, and never after its end');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER restore_run_moves_in_the_log BEFORE UPDATE ON restore_run FOR EACH ROW
  EXECUTE FUNCTION restore_run_moves_in_the_log()
--;
CREATE FUNCTION operation_run_begins_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
    SELECT 1 FROM audit_event, LATERAL (SELECT payload::json -> 'data' AS data) AS said
    WHERE event_id = NEW.last_event_id AND type IN ('restore.operation.created', 'restore.operation.imported')
      AND data ->> 'subject' = NEW.id AND data ->> 'target' = NEW.status AND ws = NEW.workspace AND env = NEW.environment
      AND data ->> 'outcome' IS NOT DISTINCT FROM NEW.outcome),
    'operation_run is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER operation_run_begins_in_the_log BEFORE INSERT ON operation_run FOR EACH ROW
  EXECUTE FUNCTION operation_run_begins_in_the_log()
--;
CREATE FUNCTION operation_run_moves_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(
    OLD.status <> 'completed' AND NEW.version = OLD.version + 1
    AND (NEW.id, NEW.workspace, NEW.environment, NEW.run, NEW.imported)
      IS NOT DISTINCT FROM (OLD.id, OLD.workspace, OLD.environment, OLD.run, OLD.imported)
    AND EXISTS (
      SELECT 1 FROM audit_event, LATERAL (SELECT payload::json -> 'data' AS data) AS said
      WHERE event_id = NEW.last_event_id AND type = 'restore.operation.transitioned'
        AND data ->> 'subject' = NEW.id AND data ->> 'source' = OLD.status AND data ->> 'target' = NEW.status
        AND (data ->> 'version')::bigint = NEW.version AND data ->> 'outcome' IS NOT DISTINCT FROM NEW.outcome),
    'operation_run is written through the log only, and never after its end');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER operation_run_moves_in_the_log BEFORE UPDATE ON operation_run FOR EACH ROW
  EXECUTE FUNCTION operation_run_moves_in_the_log()
--;
CREATE FUNCTION evidence_snapshot_begins_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
    SELECT 1 FROM audit_event, LATERAL (SELECT payload::json -> 'data' AS data) AS said
    WHERE event_id = NEW.last_event_id AND type IN ('restore.evidence.created', 'restore.evidence.imported')
      AND data ->> 'subject' = NEW.id AND data ->> 'target' = NEW.status AND ws = NEW.workspace AND env = NEW.environment
      AND data ->> 'details' IS NOT DISTINCT FROM NEW.details),
    'evidence_snapshot is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER evidence_snapshot_begins_in_the_log BEFORE INSERT ON evidence_snapshot FOR EACH ROW
  EXECUTE FUNCTION evidence_snapshot_begins_in_the_log()
--;
CREATE FUNCTION evidence_snapshot_moves_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(
    OLD.status NOT IN ('superseded', 'expired', 'failed') AND NEW.version = OLD.version + 1
    AND (NEW.id, NEW.workspace, NEW.environment, NEW.operation_run_id, NEW.operation_run_ref, NEW.run, NEW.captured_at_us,
         NEW.imported)
      IS NOT DISTINCT FROM
      (OLD.id, OLD.workspace, OLD.environment, OLD.operation_run_id, OLD.operation_run_ref, OLD.run, OLD.captured_at_us,
       OLD.imported)
    AND EXISTS (
      SELECT 1 FROM audit_event, LATERAL (SELECT payload::json -> 'data' AS data) AS said
      WHERE event_id = NEW.last_event_id AND type = 'restore.evidence.transitioned'
        AND data ->> 'subject' = NEW.id AND data ->> 'source' = OLD.status AND data ->> 'target' = NEW.status
        AND (data ->> 'version')::bigint = NEW.version AND data ->> 'details' IS NOT DISTINCT FROM NEW.details),
    'evidence_snapshot is written through the log only, and never after its end');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER evidence_snapshot_moves_in_the_log BEFORE UPDATE ON evidence_snapshot FOR EACH ROW
  EXECUTE FUNCTION evidence_snapshot_moves_in_the_log()
--;
CREATE FUNCTION environment_follows_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log((TG_OP = 'INSERT' OR NEW.last_event_id > OLD.last_event_id) AND EXISTS (
    SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'environment.declared' AND ws = NEW.workspace
      AND env = NEW.id AND (payload::json #>> '{data,approvals_required}')::bigint = NEW.approvals_required),
    'environment is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER environment_inserts_in_the_log BEFORE INSERT ON environment FOR EACH ROW
  EXECUTE FUNCTION environment_follows_the_log()
--;
CREATE TRIGGER environment_updates_in_the_log BEFORE UPDATE ON environment FOR EACH ROW
  EXECUTE FUNCTION environment_follows_the_log()
--;
CREATE FUNCTION access_grant_follows_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log((TG_OP = 'INSERT' OR NEW.last_event_id > OLD.last_event_id) AND EXISTS (
    SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id
      AND type = CASE NEW.active WHEN 1 THEN 'access.granted' ELSE 'access.revoked' END AND ws = NEW.workspace
      AND coalesce(env, '*') = NEW.environment AND payload::json #>> '{data,principal}' = NEW.principal
      AND payload::json #>> '{data,role}' = NEW.role),
    'access_grant is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER access_grant_inserts_in_the_log BEFORE INSERT ON access_grant FOR EACH ROW
  EXECUTE FUNCTION access_grant_follows_the_log()
--;
CREATE TRIGGER access_grant_updates_in_the_log BEFORE UPDATE ON access_grant FOR EACH ROW
  EXECUTE FUNCTION access_grant_follows_the_log()
--;
CREATE FUNCTION audit_stream_follows_its_event() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log((TG_OP = 'INSERT' OR NEW.seq > OLD.seq) AND EXISTS (
    SELECT 1 FROM audit_event
    WHERE event_id = NEW.last_event_id AND stream = NEW.stream AND seq = NEW.seq AND leaf = NEW.head),
    'audit_stream follows the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER audit_stream_inserts_with_its_event BEFORE INSERT ON audit_stream FOR EACH ROW
  EXECUTE FUNCTION audit_stream_follows_its_event()
--;
CREATE TRIGGER audit_stream_updates_with_its_event BEFORE UPDATE ON audit_stream FOR EACH ROW
  EXECUTE FUNCTION audit_stream_follows_its_event()
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
