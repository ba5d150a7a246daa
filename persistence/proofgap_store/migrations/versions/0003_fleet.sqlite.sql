-- The fleet: workers, their leases, one live restore per environment, drills. Every row follows from the log, as before,
-- except the time in worker_lease: a beat is no event, because it says nothing that matters once the next one is there.
-- An environment is held by the run whose row says holds_env: from its start to its end, and beyond it when its worker
-- was lost; the partial unique index lets one run do so at a time.
-- Statements are separated by a line that holds only "--;".

CREATE TABLE worker (
  id        TEXT PRIMARY KEY NOT NULL,
  principal TEXT NOT NULL,
  details   TEXT NOT NULL CHECK (json_valid(details)),
  state     TEXT NOT NULL CHECK (state IN ('active', 'retired', 'lost')),
  last_event_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID
--;
CREATE TABLE worker_lease (
  worker     TEXT PRIMARY KEY NOT NULL REFERENCES worker (id),
  lease_us   INTEGER NOT NULL CHECK (lease_us > 0),
  beat_at_us INTEGER NOT NULL  -- by the clock of the database
) STRICT, WITHOUT ROWID
--;
CREATE TABLE drill (
  id          TEXT PRIMARY KEY NOT NULL,
  workspace   TEXT NOT NULL,
  environment TEXT NOT NULL,
  details     TEXT NOT NULL CHECK (json_valid(details)),
  active      INTEGER NOT NULL CHECK (active IN (0, 1)),
  decided_us  INTEGER NOT NULL,  -- of all ticks up to this one it is known what became of them
  last_event_id INTEGER NOT NULL,
  FOREIGN KEY (workspace, environment) REFERENCES environment (workspace, id)
) STRICT, WITHOUT ROWID
--;
CREATE TABLE drill_tick (
  drill    TEXT NOT NULL REFERENCES drill (id),
  tick_us  INTEGER NOT NULL,
  run      TEXT NOT NULL UNIQUE REFERENCES restore_run (id),
  event_id INTEGER NOT NULL REFERENCES audit_event (event_id),
  PRIMARY KEY (drill, tick_us)
) STRICT, WITHOUT ROWID
--;
DROP TRIGGER audit_event_creates_run
--;
DROP TRIGGER audit_event_moves_run
--;
DROP TRIGGER restore_run_moves_in_the_log
--;
ALTER TABLE restore_run ADD COLUMN holds_env INTEGER NOT NULL DEFAULT 0 CHECK (holds_env IN (0, 1))
--;
ALTER TABLE restore_run ADD COLUMN priority INTEGER
  GENERATED ALWAYS AS (CASE WHEN json_valid(details) THEN coalesce(json_extract(details, '$.priority'), 0) END) VIRTUAL
--;
ALTER TABLE restore_run ADD COLUMN worker TEXT
  GENERATED ALWAYS AS (CASE WHEN json_valid(details) THEN json_extract(details, '$.worker') END) VIRTUAL
--;
UPDATE restore_run SET holds_env = 1 WHERE status = 'running' AND imported = 0 AND last_event_id = (
  SELECT max(last_event_id) FROM restore_run AS other
  WHERE other.workspace = restore_run.workspace AND other.environment = restore_run.environment
    AND other.status = 'running' AND other.imported = 0)
--;
CREATE UNIQUE INDEX restore_run_one_live ON restore_run (workspace, environment) WHERE holds_env = 1
--;
CREATE INDEX restore_run_claimed ON restore_run (worker) WHERE holds_env = 1
--;
CREATE INDEX restore_run_waiting ON restore_run (priority DESC, last_event_id) WHERE status = 'queued' AND imported = 0
--;
CREATE TRIGGER audit_event_creates_run AFTER INSERT ON audit_event
WHEN NEW.type IN ('restore.run.created', 'restore.run.imported') BEGIN
  SELECT RAISE(ABORT, 'proofgap: illegal edge: a run begins as a draft')
    WHERE NEW.type = 'restore.run.created' AND json_extract(NEW.payload, '$.data.target') IS NOT 'draft';
  INSERT INTO restore_run (
    id, workspace, environment, status, version, is_dry_run, operation_run_id, operation_run_ref, details, imported,
    created_at_us, last_event_id)
  VALUES (
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
  SELECT RAISE(ABORT, 'proofgap: stale claim: another run holds the environment, or the worker has no lease')
    WHERE json_extract(NEW.payload, '$.data.event') = 'start' AND (
      EXISTS (SELECT 1 FROM restore_run WHERE workspace = NEW.ws AND environment = NEW.env AND holds_env = 1)
      OR json_extract(NEW.payload, '$.data.details.worker') IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM worker_lease WHERE worker = json_extract(NEW.payload, '$.data.details.worker')));
  UPDATE restore_run SET
    status = json_extract(NEW.payload, '$.data.target'), version = version + 1,
    operation_run_id = json_extract(NEW.payload, '$.op'),
    details = json_extract(NEW.payload, '$.data.details'), last_event_id = NEW.event_id,
    holds_env = CASE WHEN json_extract(NEW.payload, '$.data.event') = 'start' THEN 1
      WHEN json_extract(NEW.payload, '$.data.target') = 'running' THEN holds_env
      ELSE coalesce(json_extract(NEW.payload, '$.data.details.holds_environment'), 0) END
  WHERE id = json_extract(NEW.payload, '$.data.subject') AND workspace = NEW.ws AND environment = NEW.env
    AND status = json_extract(NEW.payload, '$.data.source') AND version = json_extract(NEW.payload, '$.data.version') - 1;
  SELECT RAISE(ABORT, 'proofgap: swallowed: the record was not moved') WHERE changes() <> 1;
END
--;
DROP TRIGGER audit_event_moves_machine  -- made anew: SQLite asks the newest first, and what is no move at all is refused as that
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
CREATE TRIGGER restore_run_begins_without_a_hold BEFORE INSERT ON restore_run WHEN NEW.holds_env IS NOT 0 BEGIN
  SELECT RAISE(ABORT, 'proofgap: restore_run is written through the log only');
END
--;
CREATE TRIGGER restore_run_moves_in_the_log BEFORE UPDATE ON restore_run
WHEN (
    OLD.status NOT IN ('completed', 'partial', 'completed_with_errors', 'failed', 'cancelled') AND NEW.version = OLD.version + 1
    AND NEW.id IS OLD.id AND NEW.workspace IS OLD.workspace AND NEW.environment IS OLD.environment
    AND NEW.is_dry_run IS OLD.is_dry_run AND NEW.operation_run_ref IS OLD.operation_run_ref
    AND NEW.imported IS OLD.imported AND NEW.created_at_us IS OLD.created_at_us
    AND EXISTS (
      SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'restore.run.transitioned'
        AND json_extract(payload, '$.data.subject') = NEW.id AND json_extract(payload, '$.data.source') = OLD.status
        AND json_extract(payload, '$.data.target') = NEW.status AND json_extract(payload, '$.data.version') = NEW.version
        AND json_extract(payload, '$.data.details') IS NEW.details AND json_extract(payload, '$.op') IS NEW.operation_run_id
        AND NEW.holds_env = CASE WHEN json_extract(payload, '$.data.event') = 'start' THEN 1 WHEN NEW.status = 'running' THEN OLD.holds_env
          ELSE coalesce(json_extract(NEW.details, '$.holds_environment'), 0) END)
    OR OLD.holds_env = 1 AND NEW.holds_env = 0 AND OLD.status <> 'running'
    AND NEW.id IS OLD.id AND NEW.workspace IS OLD.workspace AND NEW.environment IS OLD.environment AND NEW.status IS OLD.status
    AND NEW.version IS OLD.version AND NEW.is_dry_run IS OLD.is_dry_run AND NEW.operation_run_id IS OLD.operation_run_id
    AND NEW.operation_run_ref IS OLD.operation_run_ref AND NEW.details IS OLD.details AND NEW.imported IS OLD.imported
    AND NEW.created_at_us IS OLD.created_at_us AND NEW.last_event_id IS OLD.last_event_id
    AND EXISTS (SELECT 1 FROM audit_event WHERE run = NEW.id AND type = 'environment.released')
  ) IS NOT TRUE BEGIN
  SELECT RAISE(ABORT, 'proofgap: restore_run is written through the log only, and never after its end');
END
--;
CREATE TRIGGER audit_event_releases_environment AFTER INSERT ON audit_event WHEN NEW.type = 'environment.released' BEGIN
  SELECT RAISE(ABORT, 'proofgap: stale hold: no run that has ended holds the environment')
    WHERE NOT EXISTS (
      SELECT 1 FROM restore_run WHERE id = NEW.run AND workspace = NEW.ws AND environment = NEW.env AND holds_env = 1
        AND status <> 'running');
  UPDATE restore_run SET holds_env = 0 WHERE id = NEW.run;
  SELECT RAISE(ABORT, 'proofgap: swallowed: the environment was not released') WHERE changes() <> 1;
END
--;
CREATE TRIGGER audit_event_registers_worker AFTER INSERT ON audit_event WHEN NEW.type = 'worker.registered' BEGIN
  INSERT INTO worker VALUES (
    json_extract(NEW.payload, '$.data.worker'), NEW.actor, json_extract(NEW.payload, '$.data.details'), 'active', NEW.event_id);
  INSERT INTO worker_lease VALUES (
    json_extract(NEW.payload, '$.data.worker'), json_extract(NEW.payload, '$.data.lease_us'),
    CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER));
  SELECT RAISE(ABORT, 'proofgap: swallowed: the row was not kept')
    WHERE NOT EXISTS (SELECT 1 FROM worker WHERE last_event_id = NEW.event_id)
       OR NOT EXISTS (SELECT 1 FROM worker_lease WHERE worker = json_extract(NEW.payload, '$.data.worker'));
END
--;
CREATE TRIGGER audit_event_ends_worker AFTER INSERT ON audit_event WHEN NEW.type IN ('worker.retired', 'worker.lost') BEGIN
  SELECT RAISE(ABORT, 'proofgap: stale worker: it is not active')
    WHERE NOT EXISTS (SELECT 1 FROM worker WHERE id = json_extract(NEW.payload, '$.data.worker') AND state = 'active');
  SELECT RAISE(ABORT, 'proofgap: stale lease: the worker is alive')
    WHERE NEW.type = 'worker.lost' AND EXISTS (
      SELECT 1 FROM worker_lease WHERE worker = json_extract(NEW.payload, '$.data.worker')
        AND beat_at_us + lease_us >= CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER));
  SELECT RAISE(ABORT, 'proofgap: a worker that executes runs does not retire')
    WHERE NEW.type = 'worker.retired' AND EXISTS (
      SELECT 1 FROM restore_run WHERE holds_env = 1 AND status = 'running'
        AND worker = json_extract(NEW.payload, '$.data.worker'));
  UPDATE worker SET state = CASE NEW.type WHEN 'worker.lost' THEN 'lost' ELSE 'retired' END, last_event_id = NEW.event_id
    WHERE id = json_extract(NEW.payload, '$.data.worker');
  DELETE FROM worker_lease WHERE worker = json_extract(NEW.payload, '$.data.worker');
  SELECT RAISE(ABORT, 'proofgap: swallowed: the worker was not ended')
    WHERE NOT EXISTS (SELECT 1 FROM worker WHERE last_event_id = NEW.event_id)
       OR EXISTS (SELECT 1 FROM worker_lease WHERE worker = json_extract(NEW.payload, '$.data.worker'));
END
--;
CREATE TRIGGER worker_begins_in_the_log BEFORE INSERT ON worker
WHEN NOT EXISTS (
    SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'worker.registered' AND actor = NEW.principal
      AND json_extract(payload, '$.data.worker') = NEW.id AND json_extract(payload, '$.data.details') IS NEW.details)
  OR NEW.state IS NOT 'active' OR EXISTS (SELECT 1 FROM worker WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: worker is written through the log only');
END
--;
CREATE TRIGGER worker_ends_in_the_log BEFORE UPDATE ON worker
WHEN NEW.id IS NOT OLD.id OR NEW.principal IS NOT OLD.principal OR NEW.details IS NOT OLD.details OR OLD.state IS NOT 'active'
  OR NEW.state NOT IN ('retired', 'lost') OR NOT EXISTS (
    SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'worker.' || NEW.state
      AND json_extract(payload, '$.data.worker') = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: worker is written through the log only');
END
--;
CREATE TRIGGER worker_is_never_deleted BEFORE DELETE ON worker BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of worker are never deleted');
END
--;
CREATE TRIGGER worker_lease_begins_with_its_worker BEFORE INSERT ON worker_lease
WHEN NOT EXISTS (
    SELECT 1 FROM worker AS w JOIN audit_event AS e ON e.event_id = w.last_event_id
    WHERE w.id = NEW.worker AND w.state = 'active' AND json_extract(e.payload, '$.data.lease_us') = NEW.lease_us)
  OR EXISTS (SELECT 1 FROM worker_lease WHERE worker = NEW.worker) BEGIN
  SELECT RAISE(ABORT, 'proofgap: a lease begins and ends with its worker');
END
--;
CREATE TRIGGER worker_lease_only_beats BEFORE UPDATE ON worker_lease
WHEN NEW.worker IS NOT OLD.worker OR NEW.lease_us IS NOT OLD.lease_us OR NEW.beat_at_us < OLD.beat_at_us
  OR NEW.beat_at_us > max(OLD.beat_at_us, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)) BEGIN
  SELECT RAISE(ABORT, 'proofgap: of a lease, only the time of the last beat changes, and never into the future');
END
--;
CREATE TRIGGER worker_lease_ends_with_its_worker BEFORE DELETE ON worker_lease
WHEN EXISTS (SELECT 1 FROM worker WHERE id = OLD.worker AND state = 'active') BEGIN
  SELECT RAISE(ABORT, 'proofgap: a lease begins and ends with its worker');
END
--;
CREATE TRIGGER audit_event_declares_drill AFTER INSERT ON audit_event WHEN NEW.type = 'drill.declared' BEGIN
  INSERT INTO drill VALUES (
    json_extract(NEW.payload, '$.data.drill'), NEW.ws, NEW.env, json_extract(NEW.payload, '$.data.details'), 1, NEW.at_us, NEW.event_id);
  SELECT RAISE(ABORT, 'proofgap: swallowed: the row was not kept')
    WHERE NOT EXISTS (SELECT 1 FROM drill WHERE last_event_id = NEW.event_id);
END
--;
CREATE TRIGGER audit_event_decides_drill AFTER INSERT ON audit_event
WHEN NEW.type IN ('drill.retired', 'drill.fired', 'drill.missed') BEGIN
  SELECT RAISE(ABORT, 'proofgap: stale drill: it is not active, or the tick is decided already')
    WHERE NOT EXISTS (
      SELECT 1 FROM drill WHERE id = json_extract(NEW.payload, '$.data.drill') AND active = 1 AND workspace = NEW.ws
        AND environment = NEW.env AND (NEW.type = 'drill.retired'
          OR decided_us < json_extract(NEW.payload, '$.data.first_us')
            AND json_extract(NEW.payload, '$.data.first_us') <= json_extract(NEW.payload, '$.data.last_us')));
  UPDATE drill SET active = NEW.type <> 'drill.retired',
    decided_us = coalesce(json_extract(NEW.payload, '$.data.last_us'), decided_us), last_event_id = NEW.event_id
    WHERE id = json_extract(NEW.payload, '$.data.drill');
  SELECT RAISE(ABORT, 'proofgap: swallowed: the drill was not moved') WHERE changes() <> 1;
  INSERT INTO drill_tick
    SELECT json_extract(NEW.payload, '$.data.drill'), json_extract(NEW.payload, '$.data.last_us'), NEW.run, NEW.event_id
    WHERE NEW.type = 'drill.fired';
  SELECT RAISE(ABORT, 'proofgap: swallowed: the tick was not kept')
    WHERE NEW.type = 'drill.fired' AND NOT EXISTS (
      SELECT 1 FROM drill_tick WHERE drill = json_extract(NEW.payload, '$.data.drill') AND event_id = NEW.event_id);
END
--;
CREATE TRIGGER drill_begins_in_the_log BEFORE INSERT ON drill
WHEN NOT EXISTS (
    SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'drill.declared' AND ws = NEW.workspace
      AND env = NEW.environment AND at_us = NEW.decided_us AND json_extract(payload, '$.data.drill') = NEW.id
      AND json_extract(payload, '$.data.details') IS NEW.details)
  OR NEW.active IS NOT 1 OR EXISTS (SELECT 1 FROM drill WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: drill is written through the log only');
END
--;
CREATE TRIGGER drill_moves_in_the_log BEFORE UPDATE ON drill
WHEN NEW.id IS NOT OLD.id OR NEW.workspace IS NOT OLD.workspace OR NEW.environment IS NOT OLD.environment
  OR NEW.details IS NOT OLD.details OR OLD.active IS NOT 1 OR NEW.last_event_id <= OLD.last_event_id OR NOT EXISTS (
    SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND json_extract(payload, '$.data.drill') = NEW.id
      AND (type = 'drill.retired' AND NEW.active = 0 AND NEW.decided_us = OLD.decided_us
        OR type IN ('drill.fired', 'drill.missed') AND NEW.active = 1 AND NEW.decided_us > OLD.decided_us
          AND NEW.decided_us = json_extract(payload, '$.data.last_us'))) BEGIN
  SELECT RAISE(ABORT, 'proofgap: drill is written through the log only');
END
--;
CREATE TRIGGER drill_is_never_deleted BEFORE DELETE ON drill BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of drill are never deleted');
END
--;
CREATE TRIGGER drill_tick_belongs_to_its_event BEFORE INSERT ON drill_tick
WHEN NOT EXISTS (
    SELECT 1 FROM audit_event WHERE event_id = NEW.event_id AND type = 'drill.fired' AND run = NEW.run
      AND json_extract(payload, '$.data.drill') = NEW.drill AND json_extract(payload, '$.data.last_us') = NEW.tick_us)
  OR EXISTS (SELECT 1 FROM drill_tick WHERE drill = NEW.drill AND tick_us = NEW.tick_us)
  OR EXISTS (SELECT 1 FROM drill_tick WHERE run = NEW.run) BEGIN
  SELECT RAISE(ABORT, 'proofgap: drill_tick is written through the log only');
END
--;
CREATE TRIGGER drill_tick_is_append_only_update BEFORE UPDATE ON drill_tick BEGIN
  SELECT RAISE(ABORT, 'proofgap: drill_tick is append-only');
END
--;
CREATE TRIGGER drill_tick_is_never_deleted BEFORE DELETE ON drill_tick BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of drill_tick are never deleted');
END
