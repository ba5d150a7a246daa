-- The ledger on SQLite. One table is the record (audit_event); runs, operation runs, evidence, grants,
-- environments and machine definitions are what follows from it, kept by the triggers below. Nobody else may
-- write them: a change without its log row is refused by the database itself.
-- Statements are separated by a line that holds only "--;".

CREATE TABLE audit_event (
  event_id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (event_id > 0),
  payload  TEXT NOT NULL CHECK (json_valid(payload)),
  leaf     TEXT NOT NULL CHECK (length(leaf) = 64),
  type     TEXT NOT NULL GENERATED ALWAYS AS (json_extract(payload, '$.type')) STORED,
  id       TEXT NOT NULL GENERATED ALWAYS AS (json_extract(payload, '$.id')) STORED,
  stream   TEXT NOT NULL GENERATED ALWAYS AS (json_extract(payload, '$.stream')) STORED,
  seq      INTEGER NOT NULL GENERATED ALWAYS AS (json_extract(payload, '$.seq')) STORED,
  ws       TEXT GENERATED ALWAYS AS (json_extract(payload, '$.ws')) STORED,
  env      TEXT GENERATED ALWAYS AS (json_extract(payload, '$.env')) STORED,
  run      TEXT GENERATED ALWAYS AS (json_extract(payload, '$.run')) STORED,
  actor    TEXT NOT NULL GENERATED ALWAYS AS (json_extract(payload, '$.actor.id')) STORED,
  at_us    INTEGER NOT NULL GENERATED ALWAYS AS (json_extract(payload, '$.at_us')) STORED
) STRICT
--;
CREATE UNIQUE INDEX audit_event_id ON audit_event (id)
--;
CREATE UNIQUE INDEX audit_event_link ON audit_event (stream, seq)
--;
CREATE INDEX audit_event_run ON audit_event (run, event_id)
--;
CREATE TABLE audit_stream (
  stream TEXT PRIMARY KEY NOT NULL,
  seq    INTEGER NOT NULL CHECK (seq >= 0),
  head   TEXT NOT NULL CHECK (length(head) = 64),
  last_event_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID
--;
CREATE TABLE machine_definition (
  definition    TEXT PRIMARY KEY NOT NULL CHECK (length(definition) = 64),
  machine       TEXT NOT NULL CHECK (machine IN ('run', 'operation', 'evidence')),
  last_event_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID
--;
CREATE TABLE machine_edge (
  definition TEXT NOT NULL REFERENCES machine_definition (definition),
  source     TEXT NOT NULL,
  event      TEXT NOT NULL,
  target     TEXT NOT NULL,
  PRIMARY KEY (definition, source, event, target),
  CHECK (source NOT IN ('completed', 'partial', 'completed_with_errors', 'failed', 'cancelled', 'superseded', 'expired'))
) STRICT, WITHOUT ROWID
--;
CREATE TABLE environment (
  workspace TEXT NOT NULL,
  id        TEXT NOT NULL CHECK (id <> '*'),
  approvals_required INTEGER NOT NULL CHECK (approvals_required >= 0),
  last_event_id INTEGER NOT NULL,
  PRIMARY KEY (workspace, id)
) STRICT, WITHOUT ROWID
--;
CREATE TABLE access_grant (
  principal   TEXT NOT NULL,
  workspace   TEXT NOT NULL,
  environment TEXT NOT NULL,  -- '*' means all environments of the workspace
  role        TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'worker', 'auditor', 'admin')),
  active      INTEGER NOT NULL CHECK (active IN (0, 1)),
  last_event_id INTEGER NOT NULL,
  PRIMARY KEY (principal, workspace, environment, role)
) STRICT, WITHOUT ROWID
--;
CREATE TABLE operation_run (
  id          TEXT PRIMARY KEY NOT NULL,
  workspace   TEXT NOT NULL,
  environment TEXT NOT NULL,
  run         TEXT,
  status      TEXT NOT NULL CHECK (status IN ('queued', 'running', 'completed')),
  outcome     TEXT CHECK (outcome IN ('succeeded', 'partially_succeeded', 'failed', 'blocked', 'cancelled')),
  version     INTEGER NOT NULL CHECK (version >= 1),
  imported    INTEGER NOT NULL CHECK (imported IN (0, 1)),
  last_event_id INTEGER NOT NULL,
  UNIQUE (workspace, environment, id),
  FOREIGN KEY (workspace, environment) REFERENCES environment (workspace, id)
) STRICT, WITHOUT ROWID
--;
CREATE TABLE restore_run (
  id          TEXT PRIMARY KEY NOT NULL,
  workspace   TEXT NOT NULL,
  environment TEXT NOT NULL,
  status      TEXT NOT NULL CHECK (status IN ('draft', 'scoped', 'checked', 'previewed', 'queued', 'running',
                'completed', 'partial', 'completed_with_errors', 'failed', 'cancelled')),
  version     INTEGER NOT NULL CHECK (version >= 1),
  is_dry_run  INTEGER NOT NULL CHECK (is_dry_run IN (0, 1)),
  operation_run_id  TEXT,  -- a link in scope: the key holds workspace and environment too
  operation_run_ref TEXT,  -- what an imported record named that is no link: kept as text
  details     TEXT NOT NULL CHECK (json_valid(details)),
  imported    INTEGER NOT NULL CHECK (imported IN (0, 1)),
  created_at_us INTEGER NOT NULL,
  last_event_id INTEGER NOT NULL,
  FOREIGN KEY (workspace, environment) REFERENCES environment (workspace, id),
  FOREIGN KEY (workspace, environment, operation_run_id) REFERENCES operation_run (workspace, environment, id)
    DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID
--;
CREATE INDEX restore_run_scope ON restore_run (workspace, environment, created_at_us, id)
--;
CREATE TABLE evidence_snapshot (
  id          TEXT PRIMARY KEY NOT NULL,
  workspace   TEXT NOT NULL,
  environment TEXT NOT NULL,
  operation_run_id  TEXT,
  operation_run_ref TEXT,
  run         TEXT,
  status      TEXT NOT NULL CHECK (status IN ('queued', 'generating', 'active', 'superseded', 'expired', 'failed')),
  version     INTEGER NOT NULL CHECK (version >= 1),
  captured_at_us INTEGER,
  details     TEXT NOT NULL CHECK (json_valid(details)),
  imported    INTEGER NOT NULL CHECK (imported IN (0, 1)),
  last_event_id INTEGER NOT NULL,
  FOREIGN KEY (workspace, environment) REFERENCES environment (workspace, id),
  FOREIGN KEY (workspace, environment, operation_run_id) REFERENCES operation_run (workspace, environment, id)
    DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID
--;
CREATE INDEX evidence_snapshot_operation ON evidence_snapshot (operation_run_id)
--;
CREATE UNIQUE INDEX evidence_snapshot_one_active ON evidence_snapshot (operation_run_id)
  WHERE status = 'active' AND imported = 0
--;
CREATE TABLE result_item (
  run         TEXT NOT NULL REFERENCES restore_run (id),
  item_key    TEXT NOT NULL,
  result      TEXT NOT NULL CHECK (result IN ('succeeded', 'failed', 'skipped', 'partial', 'non_applied')),
  document    TEXT NOT NULL CHECK (json_valid(document)),
  event_id    INTEGER NOT NULL REFERENCES audit_event (event_id),
  PRIMARY KEY (run, item_key)
) STRICT, WITHOUT ROWID
--;
CREATE TABLE evidence_check (
  snapshot    TEXT NOT NULL REFERENCES evidence_snapshot (id),
  number      INTEGER NOT NULL CHECK (number >= 0),
  result      TEXT NOT NULL CHECK (result IN ('passed', 'failed', 'skipped')),
  document    TEXT NOT NULL CHECK (json_valid(document)),
  event_id    INTEGER NOT NULL REFERENCES audit_event (event_id),
  PRIMARY KEY (snapshot, number)
) STRICT, WITHOUT ROWID
--;
CREATE TABLE receipt (
  actor       TEXT NOT NULL,
  key         TEXT NOT NULL,
  fingerprint TEXT NOT NULL CHECK (length(fingerprint) = 64),
  body        TEXT NOT NULL CHECK (json_valid(body)),
  event_id    INTEGER NOT NULL REFERENCES audit_event (event_id),
  PRIMARY KEY (actor, key)
) STRICT, WITHOUT ROWID
--;
CREATE TRIGGER audit_event_links AFTER INSERT ON audit_event BEGIN
  SELECT RAISE(ABORT, 'proofgap: the event is not in canonical form')
    WHERE json(NEW.payload) IS NOT NEW.payload
       OR (SELECT count(*) <> count(DISTINCT key) FROM json_each(NEW.payload))
       OR (SELECT count(*) <> count(DISTINCT key) FROM json_each(NEW.payload, '$.data'))
       OR (SELECT count(*) <> count(DISTINCT key) FROM json_each(NEW.payload, '$.data.details'));
  SELECT RAISE(ABORT, 'proofgap: stale stream: the event does not follow the head of its stream')
    WHERE json_extract(NEW.payload, '$.prev') IS NOT coalesce((SELECT head FROM audit_stream WHERE stream = NEW.stream), printf('%064d', 0))
       OR NEW.seq IS NOT coalesce((SELECT seq + 1 FROM audit_stream WHERE stream = NEW.stream), 0);
  INSERT INTO audit_stream (stream, seq, head, last_event_id) VALUES (NEW.stream, NEW.seq, NEW.leaf, NEW.event_id)
    ON CONFLICT (stream) DO UPDATE SET seq = NEW.seq, head = NEW.leaf, last_event_id = NEW.event_id;
  SELECT RAISE(ABORT, 'proofgap: swallowed: the head of the stream was not kept')
    WHERE (SELECT last_event_id FROM audit_stream WHERE stream = NEW.stream) IS NOT NEW.event_id;
END
--;
CREATE TRIGGER audit_event_moves_machine AFTER INSERT ON audit_event
WHEN NEW.type IN ('restore.run.transitioned', 'restore.operation.transitioned', 'restore.evidence.transitioned') BEGIN
  SELECT RAISE(ABORT, 'proofgap: illegal edge: the machine in force has no such move')
    WHERE NOT EXISTS (
      SELECT 1 FROM machine_edge
      WHERE definition = json_extract(NEW.payload, '$.data.definition')
        AND source = json_extract(NEW.payload, '$.data.source')
        AND event = json_extract(NEW.payload, '$.data.event')
        AND target = json_extract(NEW.payload, '$.data.target')
        AND definition = (
          SELECT definition FROM machine_definition
          WHERE machine = CASE NEW.type WHEN 'restore.run.transitioned' THEN 'run'
                          WHEN 'restore.operation.transitioned' THEN 'operation' ELSE 'evidence' END
          ORDER BY last_event_id DESC LIMIT 1));
END
--;
CREATE TRIGGER audit_event_creates_run AFTER INSERT ON audit_event
WHEN NEW.type IN ('restore.run.created', 'restore.run.imported') BEGIN
  SELECT RAISE(ABORT, 'proofgap: illegal edge: a run begins as a draft')
    WHERE NEW.type = 'restore.run.created' AND json_extract(NEW.payload, '$.data.target') IS NOT 'draft';
  INSERT INTO restore_run VALUES (
    json_extract(NEW.payload, '$.data.subject'), NEW.ws, NEW.env, json_extract(NEW.payload, '$.data.target'), 1,
    json_extract(NEW.payload, '$.data.is_dry_run'), NEW.payload ->> '$.op', json_extract(NEW.payload, '$.data.operation_run_ref'),
    json_extract(NEW.payload, '$.data.details'), NEW.type = 'restore.run.imported', NEW.at_us, NEW.event_id);
  SELECT RAISE(ABORT, 'proofgap: swallowed: the row was not kept')
    WHERE NOT EXISTS (SELECT 1 FROM restore_run WHERE last_event_id = NEW.event_id);
END
--;
CREATE TRIGGER audit_event_moves_run AFTER INSERT ON audit_event WHEN NEW.type = 'restore.run.transitioned' BEGIN
  SELECT RAISE(ABORT, 'proofgap: stale record: its status or version is not the one the event names')
    WHERE NOT EXISTS (SELECT 1 FROM restore_run
    WHERE id = json_extract(NEW.payload, '$.data.subject') AND workspace = NEW.ws AND environment = NEW.env
    AND status = json_extract(NEW.payload, '$.data.source') AND version = json_extract(NEW.payload, '$.data.version') - 1);
  UPDATE restore_run SET
    status = json_extract(NEW.payload, '$.data.target'), version = version + 1,
    operation_run_id = json_extract(NEW.payload, '$.op'),
    details = json_extract(NEW.payload, '$.data.details'), last_event_id = NEW.event_id
  WHERE id = json_extract(NEW.payload, '$.data.subject') AND workspace = NEW.ws AND environment = NEW.env
    AND status = json_extract(NEW.payload, '$.data.source') AND version = json_extract(NEW.payload, '$.data.version') - 1;
  SELECT RAISE(ABORT, 'proofgap: swallowed: the record was not moved') WHERE changes() <> 1;
END
--;
CREATE TRIGGER audit_event_creates_operation AFTER INSERT ON audit_event
WHEN NEW.type IN ('restore.operation.created', 'restore.operation.imported') BEGIN
  SELECT RAISE(ABORT, 'proofgap: illegal edge: an operation run begins as queued')
    WHERE NEW.type = 'restore.operation.created' AND json_extract(NEW.payload, '$.data.target') IS NOT 'queued';
  INSERT INTO operation_run VALUES (
    json_extract(NEW.payload, '$.data.subject'), NEW.ws, NEW.env, NEW.run, json_extract(NEW.payload, '$.data.target'),
    json_extract(NEW.payload, '$.data.outcome'), 1, NEW.type = 'restore.operation.imported', NEW.event_id);
  SELECT RAISE(ABORT, 'proofgap: swallowed: the row was not kept')
    WHERE NOT EXISTS (SELECT 1 FROM operation_run WHERE last_event_id = NEW.event_id);
END
--;
CREATE TRIGGER audit_event_moves_operation AFTER INSERT ON audit_event WHEN NEW.type = 'restore.operation.transitioned' BEGIN
  SELECT RAISE(ABORT, 'proofgap: stale record: its status or version is not the one the event names')
    WHERE NOT EXISTS (SELECT 1 FROM operation_run
    WHERE id = json_extract(NEW.payload, '$.data.subject') AND workspace = NEW.ws AND environment = NEW.env
    AND status = json_extract(NEW.payload, '$.data.source') AND version = json_extract(NEW.payload, '$.data.version') - 1);
  UPDATE operation_run SET
    status = json_extract(NEW.payload, '$.data.target'), version = version + 1,
    outcome = json_extract(NEW.payload, '$.data.outcome'), last_event_id = NEW.event_id
  WHERE id = json_extract(NEW.payload, '$.data.subject') AND workspace = NEW.ws AND environment = NEW.env
    AND status = json_extract(NEW.payload, '$.data.source') AND version = json_extract(NEW.payload, '$.data.version') - 1;
  SELECT RAISE(ABORT, 'proofgap: swallowed: the record was not moved') WHERE changes() <> 1;
END
--;
CREATE TRIGGER audit_event_creates_evidence AFTER INSERT ON audit_event
WHEN NEW.type IN ('restore.evidence.created', 'restore.evidence.imported') BEGIN
  SELECT RAISE(ABORT, 'proofgap: illegal edge: an evidence snapshot begins as queued')
    WHERE NEW.type = 'restore.evidence.created' AND json_extract(NEW.payload, '$.data.target') IS NOT 'queued';
  INSERT INTO evidence_snapshot VALUES (
    json_extract(NEW.payload, '$.data.subject'), NEW.ws, NEW.env, NEW.payload ->> '$.op',
    json_extract(NEW.payload, '$.data.operation_run_ref'), NEW.run, json_extract(NEW.payload, '$.data.target'), 1,
    json_extract(NEW.payload, '$.data.captured_at_us'), json_extract(NEW.payload, '$.data.details'),
    NEW.type = 'restore.evidence.imported', NEW.event_id);
  SELECT RAISE(ABORT, 'proofgap: swallowed: the row was not kept')
    WHERE NOT EXISTS (SELECT 1 FROM evidence_snapshot WHERE last_event_id = NEW.event_id);
END
--;
CREATE TRIGGER audit_event_moves_evidence AFTER INSERT ON audit_event WHEN NEW.type = 'restore.evidence.transitioned' BEGIN
  SELECT RAISE(ABORT, 'proofgap: stale record: its status or version is not the one the event names')
    WHERE NOT EXISTS (SELECT 1 FROM evidence_snapshot
    WHERE id = json_extract(NEW.payload, '$.data.subject') AND workspace = NEW.ws AND environment = NEW.env
    AND status = json_extract(NEW.payload, '$.data.source') AND version = json_extract(NEW.payload, '$.data.version') - 1);
  SELECT RAISE(ABORT, 'proofgap: another snapshot of the operation run is active')
    WHERE json_extract(NEW.payload, '$.data.target') = 'active' AND EXISTS (
      SELECT 1 FROM evidence_snapshot WHERE operation_run_id = NEW.payload ->> '$.op' AND status = 'active' AND imported = 0);
  UPDATE evidence_snapshot SET
    status = json_extract(NEW.payload, '$.data.target'), version = version + 1,
    details = json_extract(NEW.payload, '$.data.details'), last_event_id = NEW.event_id
  WHERE id = json_extract(NEW.payload, '$.data.subject') AND workspace = NEW.ws AND environment = NEW.env
    AND status = json_extract(NEW.payload, '$.data.source') AND version = json_extract(NEW.payload, '$.data.version') - 1;
  SELECT RAISE(ABORT, 'proofgap: swallowed: the record was not moved') WHERE changes() <> 1;
END
--;
CREATE TRIGGER audit_event_grants AFTER INSERT ON audit_event WHEN NEW.type IN ('access.granted', 'access.revoked') BEGIN
  INSERT INTO access_grant VALUES (
    json_extract(NEW.payload, '$.data.principal'), NEW.ws, coalesce(NEW.env, '*'), json_extract(NEW.payload, '$.data.role'),
    NEW.type = 'access.granted', NEW.event_id)
    ON CONFLICT DO UPDATE SET active = excluded.active, last_event_id = excluded.last_event_id;
  SELECT RAISE(ABORT, 'proofgap: swallowed: the row was not kept')
    WHERE NOT EXISTS (SELECT 1 FROM access_grant WHERE last_event_id = NEW.event_id);
END
--;
CREATE TRIGGER audit_event_declares_environment AFTER INSERT ON audit_event WHEN NEW.type = 'environment.declared' BEGIN
  INSERT INTO environment VALUES (NEW.ws, NEW.env, json_extract(NEW.payload, '$.data.approvals_required'), NEW.event_id)
    ON CONFLICT DO UPDATE SET approvals_required = excluded.approvals_required, last_event_id = excluded.last_event_id;
  SELECT RAISE(ABORT, 'proofgap: swallowed: the row was not kept')
    WHERE NOT EXISTS (SELECT 1 FROM environment WHERE last_event_id = NEW.event_id);
END
--;
CREATE TRIGGER audit_event_defines_machine AFTER INSERT ON audit_event WHEN NEW.type = 'machine.defined' BEGIN
  INSERT INTO machine_definition VALUES (
    json_extract(NEW.payload, '$.data.definition'), json_extract(NEW.payload, '$.data.machine'), NEW.event_id);
  INSERT OR IGNORE INTO machine_edge
    SELECT json_extract(NEW.payload, '$.data.definition'), json_extract(edge.value, '$[0]'),
           json_extract(edge.value, '$[1]'), json_extract(edge.value, '$[2]')
    FROM json_each(NEW.payload, '$.data.edges') AS edge;
  SELECT RAISE(ABORT, 'proofgap: swallowed: the row was not kept')
    WHERE NOT EXISTS (SELECT 1 FROM machine_definition WHERE last_event_id = NEW.event_id);
END
--;
CREATE TRIGGER audit_event_is_append_only_update BEFORE UPDATE ON audit_event BEGIN
  SELECT RAISE(ABORT, 'proofgap: audit_event is append-only');
END
--;
CREATE TRIGGER machine_definition_is_append_only_update BEFORE UPDATE ON machine_definition BEGIN
  SELECT RAISE(ABORT, 'proofgap: machine_definition is append-only');
END
--;
CREATE TRIGGER machine_edge_is_append_only_update BEFORE UPDATE ON machine_edge BEGIN
  SELECT RAISE(ABORT, 'proofgap: machine_edge is append-only');
END
--;
CREATE TRIGGER result_item_is_append_only_update BEFORE UPDATE ON result_item BEGIN
  SELECT RAISE(ABORT, 'proofgap: result_item is append-only');
END
--;
CREATE TRIGGER evidence_check_is_append_only_update BEFORE UPDATE ON evidence_check BEGIN
  SELECT RAISE(ABORT, 'proofgap: evidence_check is append-only');
END
--;
CREATE TRIGGER receipt_is_append_only_update BEFORE UPDATE ON receipt BEGIN
  SELECT RAISE(ABORT, 'proofgap: receipt is append-only');
END
--;
CREATE TRIGGER audit_event_is_never_deleted BEFORE DELETE ON audit_event BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of audit_event are never deleted');
END
--;
CREATE TRIGGER machine_definition_is_never_deleted BEFORE DELETE ON machine_definition BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of machine_definition are never deleted');
END
--;
CREATE TRIGGER machine_edge_is_never_deleted BEFORE DELETE ON machine_edge BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of machine_edge are never deleted');
END
--;
CREATE TRIGGER result_item_is_never_deleted BEFORE DELETE ON result_item BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of result_item are never deleted');
END
--;
CREATE TRIGGER evidence_check_is_never_deleted BEFORE DELETE ON evidence_check BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of evidence_check are never deleted');
END
--;
CREATE TRIGGER receipt_is_never_deleted BEFORE DELETE ON receipt BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of receipt are never deleted');
END
--;
CREATE TRIGGER audit_stream_is_never_deleted BEFORE DELETE ON audit_stream BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of audit_stream are never deleted');
END
--;
CREATE TRIGGER environment_is_never_deleted BEFORE DELETE ON environment BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of environment are never deleted');
END
--;
CREATE TRIGGER access_grant_is_never_deleted BEFORE DELETE ON access_grant BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of access_grant are never deleted');
END
--;
CREATE TRIGGER restore_run_is_never_deleted BEFORE DELETE ON restore_run BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of restore_run are never deleted');
END
--;
CREATE TRIGGER operation_run_is_never_deleted BEFORE DELETE ON operation_run BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of operation_run are never deleted');
END
--;
CREATE TRIGGER evidence_snapshot_is_never_deleted BEFORE DELETE ON evidence_snapshot BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of evidence_snapshot are never deleted');
END
--;
CREATE TRIGGER audit_event_is_never_replaced BEFORE INSERT ON audit_event
WHEN EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.event_id OR id = json_extract(NEW.payload, '$.id')) BEGIN
  SELECT RAISE(ABORT, 'proofgap: audit_event is append-only');
END
--;
CREATE TRIGGER audit_event_is_numbered_by_the_database BEFORE INSERT ON audit_event WHEN NEW.event_id <> -1 BEGIN
  SELECT RAISE(ABORT, 'proofgap: event_id is given by the database');
END
--;
CREATE TRIGGER machine_definition_is_never_replaced BEFORE INSERT ON machine_definition WHEN EXISTS (SELECT 1 FROM machine_definition WHERE definition = NEW.definition) BEGIN
  SELECT RAISE(ABORT, 'proofgap: a row of machine_definition is there already');
END
--;
CREATE TRIGGER result_item_is_never_replaced BEFORE INSERT ON result_item WHEN EXISTS (SELECT 1 FROM result_item WHERE run = NEW.run AND item_key = NEW.item_key) BEGIN
  SELECT RAISE(ABORT, 'proofgap: a row of result_item is there already');
END
--;
CREATE TRIGGER evidence_check_is_never_replaced BEFORE INSERT ON evidence_check WHEN EXISTS (SELECT 1 FROM evidence_check WHERE snapshot = NEW.snapshot AND number = NEW.number) BEGIN
  SELECT RAISE(ABORT, 'proofgap: a row of evidence_check is there already');
END
--;
CREATE TRIGGER receipt_is_never_replaced BEFORE INSERT ON receipt WHEN EXISTS (SELECT 1 FROM receipt WHERE actor = NEW.actor AND key = NEW.key) BEGIN
  SELECT RAISE(ABORT, 'proofgap: a row of receipt is there already');
END
--;
CREATE TRIGGER restore_run_begins_in_the_log BEFORE INSERT ON restore_run
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type IN ('restore.run.created', 'restore.run.imported') AND json_extract(payload, '$.data.subject') = NEW.id AND json_extract(payload, '$.data.target') = NEW.status AND ws = NEW.workspace AND env = NEW.environment AND json_extract(payload, '$.data.details') IS NEW.details AND json_extract(payload, '$.op') IS NEW.operation_run_id)
  OR EXISTS (SELECT 1 FROM restore_run WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: restore_run is written through the log only');
END
--;
CREATE TRIGGER restore_run_moves_in_the_log BEFORE UPDATE ON restore_run
WHEN OLD.status IN ('completed', 'partial', 'completed_with_errors', 'failed', 'cancelled') OR NEW.version <> OLD.version + 1 OR NEW.id IS NOT OLD.id OR NEW.workspace IS NOT OLD.workspace OR NEW.environment IS NOT OLD.environment OR NEW.is_dry_run IS NOT OLD.is_dry_run OR NEW.operation_run_ref IS NOT OLD.operation_run_ref OR NEW.imported IS NOT OLD.imported OR NEW.created_at_us IS NOT OLD.created_at_us
  OR NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'restore.run.transitioned' AND json_extract(payload, '$.data.subject') = NEW.id AND json_extract(payload, '$.data.source') = OLD.status AND json_extract(payload, '$.data.target') = NEW.status AND json_extract(payload, '$.data.version') = NEW.version AND json_extract(payload, '$.data.details') IS NEW.details AND json_extract(payload, '$.op') IS NEW.operation_run_id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: restore_run is written through the log only, and never after its end');
END
--;
CREATE TRIGGER operation_run_begins_in_the_log BEFORE INSERT ON operation_run
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type IN ('restore.operation.created', 'restore.operation.imported') AND json_extract(payload, '$.data.subject') = NEW.id AND json_extract(payload, '$.data.target') = NEW.status AND ws = NEW.workspace AND env = NEW.environment AND json_extract(payload, '$.data.outcome') IS NEW.outcome)
  OR EXISTS (SELECT 1 FROM operation_run WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: operation_run is written through the log only');
END
--;
CREATE TRIGGER operation_run_moves_in_the_log BEFORE UPDATE ON operation_run
WHEN OLD.status IN ('completed') OR NEW.version <> OLD.version + 1 OR NEW.id IS NOT OLD.id OR NEW.workspace IS NOT OLD.workspace OR NEW.environment IS NOT OLD.environment OR NEW.run IS NOT OLD.run OR NEW.imported IS NOT OLD.imported
  OR NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'restore.operation.transitioned' AND json_extract(payload, '$.data.subject') = NEW.id AND json_extract(payload, '$.data.source') = OLD.status AND json_extract(payload, '$.data.target') = NEW.status AND json_extract(payload, '$.data.version') = NEW.version AND json_extract(payload, '$.data.outcome') IS NEW.outcome) BEGIN
  SELECT RAISE(ABORT, 'proofgap: operation_run is written through the log only, and never after its end');
END
--;
CREATE TRIGGER evidence_snapshot_begins_in_the_log BEFORE INSERT ON evidence_snapshot
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type IN ('restore.evidence.created', 'restore.evidence.imported') AND json_extract(payload, '$.data.subject') = NEW.id AND json_extract(payload, '$.data.target') = NEW.status AND ws = NEW.workspace AND env = NEW.environment AND json_extract(payload, '$.data.details') IS NEW.details)
  OR EXISTS (SELECT 1 FROM evidence_snapshot WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: evidence_snapshot is written through the log only');
END
--;
CREATE TRIGGER evidence_snapshot_moves_in_the_log BEFORE UPDATE ON evidence_snapshot
WHEN OLD.status IN ('superseded', 'expired', 'failed') OR NEW.version <> OLD.version + 1 OR NEW.id IS NOT OLD.id OR NEW.workspace IS NOT OLD.workspace OR NEW.environment IS NOT OLD.environment OR NEW.operation_run_id IS NOT OLD.operation_run_id OR NEW.operation_run_ref IS NOT OLD.operation_run_ref OR NEW.run IS NOT OLD.run OR NEW.captured_at_us IS NOT OLD.captured_at_us OR NEW.imported IS NOT OLD.imported
  OR NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'restore.evidence.transitioned' AND json_extract(payload, '$.data.subject') = NEW.id AND json_extract(payload, '$.data.source') = OLD.status AND json_extract(payload, '$.data.target') = NEW.status AND json_extract(payload, '$.data.version') = NEW.version AND json_extract(payload, '$.data.details') IS NEW.details) BEGIN
  SELECT RAISE(ABORT, 'proofgap: evidence_snapshot is written through the log only, and never after its end');
END
--;
CREATE TRIGGER environment_inserts_in_the_log BEFORE INSERT ON environment
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'environment.declared' AND ws = NEW.workspace AND env = NEW.id AND json_extract(payload, '$.data.approvals_required') = NEW.approvals_required) BEGIN
  SELECT RAISE(ABORT, 'proofgap: environment is written through the log only');
END
--;
CREATE TRIGGER access_grant_inserts_in_the_log BEFORE INSERT ON access_grant
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = CASE NEW.active WHEN 1 THEN 'access.granted' ELSE 'access.revoked' END AND ws = NEW.workspace AND coalesce(env, '*') = NEW.environment AND json_extract(payload, '$.data.principal') = NEW.principal AND json_extract(payload, '$.data.role') = NEW.role) BEGIN
  SELECT RAISE(ABORT, 'proofgap: access_grant is written through the log only');
END
--;
CREATE TRIGGER audit_stream_inserts_with_its_event BEFORE INSERT ON audit_stream
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND stream = NEW.stream AND seq = NEW.seq AND leaf = NEW.head) BEGIN
  SELECT RAISE(ABORT, 'proofgap: audit_stream follows the log only');
END
--;
CREATE TRIGGER environment_updates_in_the_log BEFORE UPDATE ON environment
WHEN NEW.last_event_id <= OLD.last_event_id OR NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'environment.declared' AND ws = NEW.workspace AND env = NEW.id AND json_extract(payload, '$.data.approvals_required') = NEW.approvals_required) BEGIN
  SELECT RAISE(ABORT, 'proofgap: environment is written through the log only');
END
--;
CREATE TRIGGER access_grant_updates_in_the_log BEFORE UPDATE ON access_grant
WHEN NEW.last_event_id <= OLD.last_event_id OR NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = CASE NEW.active WHEN 1 THEN 'access.granted' ELSE 'access.revoked' END AND ws = NEW.workspace AND coalesce(env, '*') = NEW.environment AND json_extract(payload, '$.data.principal') = NEW.principal AND json_extract(payload, '$.data.role') = NEW.role) BEGIN
  SELECT RAISE(ABORT, 'proofgap: access_grant is written through the log only');
END
--;
CREATE TRIGGER audit_stream_updates_with_its_event BEFORE UPDATE ON audit_stream
WHEN NEW.seq <= OLD.seq OR NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND stream = NEW.stream AND seq = NEW.seq AND leaf = NEW.head) BEGIN
  SELECT RAISE(ABORT, 'proofgap: audit_stream follows the log only');
END
--;
CREATE TRIGGER machine_definition_begins_in_the_log BEFORE INSERT ON machine_definition
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'machine.defined' AND json_extract(payload, '$.data.definition') = NEW.definition AND json_extract(payload, '$.data.machine') = NEW.machine) BEGIN
  SELECT RAISE(ABORT, 'proofgap: machine_definition is written through the log only');
END
--;
CREATE TRIGGER machine_edge_begins_in_the_log BEFORE INSERT ON machine_edge
WHEN NOT EXISTS (
  SELECT 1 FROM machine_definition AS d JOIN audit_event AS e ON e.event_id = d.last_event_id, json_each(e.payload, '$.data.edges') AS edge
  WHERE d.definition = NEW.definition AND json_extract(edge.value, '$[0]') = NEW.source
    AND json_extract(edge.value, '$[1]') = NEW.event AND json_extract(edge.value, '$[2]') = NEW.target) BEGIN
  SELECT RAISE(ABORT, 'proofgap: machine_edge is written through the log only');
END
--;
CREATE TRIGGER receipt_belongs_to_its_request BEFORE INSERT ON receipt
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.event_id AND actor = NEW.actor
  AND json_extract(payload, '$.data.key') = NEW.key AND json_extract(payload, '$.data.request') = NEW.fingerprint) BEGIN
  SELECT RAISE(ABORT, 'proofgap: receipts are written with their request only');
END
--;
CREATE TRIGGER result_item_belongs_to_a_report BEFORE INSERT ON result_item
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.event_id AND run = NEW.run
  AND type = 'restore.run.transitioned' AND json_extract(payload, '$.data.event') = 'report')
  OR NEW.event_id IS NOT (SELECT last_event_id FROM restore_run WHERE id = NEW.run) BEGIN
  SELECT RAISE(ABORT, 'proofgap: item rows are written with their report only');
END
--;
CREATE TRIGGER evidence_check_belongs_to_its_snapshot BEFORE INSERT ON evidence_check
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.event_id AND json_extract(payload, '$.data.subject') = NEW.snapshot
  AND type = 'restore.evidence.transitioned' AND json_extract(payload, '$.data.target') IN ('active', 'failed'))
  OR NEW.event_id IS NOT (SELECT last_event_id FROM evidence_snapshot WHERE id = NEW.snapshot)
  OR NEW.number >= (SELECT coalesce(json_extract(details, '$.checks_total'), 0) FROM evidence_snapshot WHERE id = NEW.snapshot) BEGIN
  SELECT RAISE(ABORT, 'proofgap: checks are written with their snapshot only');
END
