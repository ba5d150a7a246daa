-- The fleet on PostgreSQL; the same tables and guards as on SQLite (0003_fleet.sqlite.sql).
-- Statements are separated by a line that holds only "--;".

CREATE TABLE worker (
  id        TEXT COLLATE "C" PRIMARY KEY,
  principal TEXT COLLATE "C" NOT NULL,
  details   TEXT COLLATE "C" NOT NULL CHECK (json_valid(details)),
  state     TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'retired', 'lost')),
  last_event_id BIGINT NOT NULL
)
--;
CREATE TABLE worker_lease (
  worker     TEXT COLLATE "C" PRIMARY KEY REFERENCES worker (id),
  lease_us   BIGINT NOT NULL CHECK (lease_us > 0),
  beat_at_us BIGINT NOT NULL  -- by the clock of the database
)
--;
CREATE TABLE drill (
  id          TEXT COLLATE "C" PRIMARY KEY,
  workspace   TEXT COLLATE "C" NOT NULL,
  environment TEXT COLLATE "C" NOT NULL,
  details     TEXT COLLATE "C" NOT NULL CHECK (json_valid(details)),
  active      BIGINT NOT NULL CHECK (active IN (0, 1)),
  decided_us  BIGINT NOT NULL,  -- of all ticks up to this one it is known what became of them
  last_event_id BIGINT NOT NULL,
  FOREIGN KEY (workspace, environment) REFERENCES environment (workspace, id)
)
--;
CREATE TABLE drill_tick (
  drill    TEXT COLLATE "C" NOT NULL REFERENCES drill (id),
  tick_us  BIGINT NOT NULL,
  run      TEXT COLLATE "C" NOT NULL UNIQUE REFERENCES restore_run (id),
  event_id BIGINT NOT NULL REFERENCES audit_event (event_id),
  PRIMARY KEY (drill, tick_us)
)
--;
CREATE FUNCTION clock_us() RETURNS BIGINT LANGUAGE sql VOLATILE AS $$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$
--;
DROP TRIGGER restore_run_moves_in_the_log ON restore_run
--;
DROP FUNCTION restore_run_moves_in_the_log()
--;
DROP TRIGGER audit_event_moves_run ON audit_event
--;
DROP FUNCTION audit_event_moves_run()
--;
ALTER TABLE restore_run ADD COLUMN holds_env BIGINT NOT NULL DEFAULT 0 CHECK (holds_env IN (0, 1))
--;
ALTER TABLE restore_run ADD COLUMN priority BIGINT GENERATED ALWAYS AS (coalesce((details::json ->> 'priority')::bigint, 0)) STORED
--;
ALTER TABLE restore_run ADD COLUMN worker TEXT COLLATE "C" GENERATED ALWAYS AS (details::json ->> 'worker') STORED
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
CREATE FUNCTION demand_claim(is_free BOOLEAN) RETURNS VOID LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  IF is_free IS NOT TRUE THEN
    RAISE EXCEPTION 'proofgap: stale claim: another run holds the environment, or the worker has no lease'
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
END
$$
--;
CREATE FUNCTION audit_event_moves_run() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
  moved CONSTANT text := data ->> 'subject';
  starts CONSTANT boolean := data ->> 'event' = 'start';
  is_found BOOLEAN;
BEGIN
  PERFORM demand_edge('run', data);
  PERFORM demand_found(EXISTS (
    SELECT 1 FROM restore_run WHERE id = moved AND workspace = NEW.ws AND environment = NEW.env
      AND status = data ->> 'source' AND version = (data ->> 'version')::bigint - 1));
  IF starts THEN
    PERFORM demand_claim(
      NOT EXISTS (SELECT 1 FROM restore_run WHERE workspace = NEW.ws AND environment = NEW.env AND holds_env = 1)
      AND (data #>> '{details,worker}' IS NULL
        OR EXISTS (SELECT 1 FROM worker_lease WHERE worker = data #>> '{details,worker}')));
  END IF;
  UPDATE restore_run SET
    status = data ->> 'target', version = version + 1, operation_run_id = NEW.payload::json ->> 'op',
    details = data ->> 'details', last_event_id = NEW.event_id,
    holds_env = CASE WHEN starts THEN 1 WHEN data ->> 'target' = 'running' THEN holds_env
      ELSE coalesce((data #>> '{details,holds_environment}')::boolean, FALSE)::int END
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
CREATE TRIGGER restore_run_begins_without_a_hold BEFORE INSERT ON restore_run FOR EACH ROW WHEN (NEW.holds_env <> 0)
  EXECUTE FUNCTION refuse('proofgap: restore_run is written through the log only')
--;
CREATE FUNCTION restore_run_moves_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  IF OLD.holds_env = 1 AND NEW.holds_env = 0 AND NEW.version = OLD.version THEN
    PERFORM demand_log(
      OLD.status <> 'running'
      AND (NEW.id, NEW.workspace, NEW.environment, NEW.status, NEW.version, NEW.is_dry_run, NEW.operation_run_id,
           NEW.operation_run_ref, NEW.details, NEW.imported, NEW.created_at_us, NEW.last_event_id)
        IS NOT DISTINCT FROM
        (OLD.id, OLD.workspace, OLD.environment, OLD.status, OLD.version, OLD.is_dry_run, OLD.operation_run_id,
         OLD.operation_run_ref, OLD.details, OLD.imported, OLD.created_at_us, OLD.last_event_id)
      AND EXISTS (SELECT 1 FROM audit_event WHERE run = NEW.id AND type = 'environment.released'),
      'restore_run is written through the log only, and never after its end');
    RETURN NEW;
  END IF;
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
        AND payload::json ->> 'op' IS NOT DISTINCT FROM NEW.operation_run_id
        AND NEW.holds_env = CASE WHEN data ->> 'event' = 'start' THEN 1 WHEN NEW.status = 'running' THEN OLD.holds_env
          ELSE coalesce((data #>> '{details,holds_environment}')::boolean, FALSE)::int END),
    'restore_run is written through the log only, and never after its end');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER restore_run_moves_in_the_log BEFORE UPDATE ON restore_run FOR EACH ROW
  EXECUTE FUNCTION restore_run_moves_in_the_log()
--;
CREATE FUNCTION audit_event_releases_environment() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  is_found BOOLEAN;
BEGIN
  UPDATE restore_run SET holds_env = 0
    WHERE id = NEW.run AND workspace = NEW.ws AND environment = NEW.env AND holds_env = 1 AND status <> 'running';
  is_found := FOUND;
  IF NOT is_found THEN
    RAISE EXCEPTION 'proofgap: stale hold: no run that has ended holds the environment' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_releases_environment AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'environment.released') EXECUTE FUNCTION audit_event_releases_environment()
--;
CREATE FUNCTION audit_event_registers_worker() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
BEGIN
  INSERT INTO worker VALUES (data ->> 'worker', NEW.actor, data ->> 'details', 'active', NEW.event_id);
  INSERT INTO worker_lease VALUES (data ->> 'worker', (data ->> 'lease_us')::bigint, clock_us());
  PERFORM demand_kept(
    EXISTS (SELECT 1 FROM worker WHERE last_event_id = NEW.event_id)
    AND EXISTS (SELECT 1 FROM worker_lease WHERE worker = data ->> 'worker'), 'the row was not kept');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_registers_worker AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'worker.registered') EXECUTE FUNCTION audit_event_registers_worker()
--;
CREATE FUNCTION audit_event_ends_worker() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
-- The lease is locked first: a beat that is under way is waited for, and one that comes later finds no lease any more.
DECLARE
  ended CONSTANT text := NEW.payload::json #>> '{data,worker}';
  lease worker_lease;
BEGIN
  SELECT * INTO lease FROM worker_lease WHERE worker = ended FOR UPDATE;
  IF lease.worker IS NULL THEN
    RAISE EXCEPTION 'proofgap: stale worker: it is not active' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  IF NEW.type = 'worker.lost' AND lease.beat_at_us + lease.lease_us >= clock_us() THEN
    RAISE EXCEPTION 'proofgap: stale lease: the worker is alive' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  IF NEW.type = 'worker.retired' AND EXISTS (
    SELECT 1 FROM restore_run WHERE holds_env = 1 AND status = 'running' AND restore_run.worker = ended) THEN
    RAISE EXCEPTION 'proofgap: a worker that executes runs does not retire' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  UPDATE worker SET state = CASE NEW.type WHEN 'worker.lost' THEN 'lost' ELSE 'retired' END, last_event_id = NEW.event_id
    WHERE id = ended;
  DELETE FROM worker_lease WHERE worker = ended;
  PERFORM demand_kept(
    EXISTS (SELECT 1 FROM worker WHERE id = ended AND last_event_id = NEW.event_id)
    AND NOT EXISTS (SELECT 1 FROM worker_lease WHERE worker = ended), 'the worker was not ended');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_ends_worker AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type IN ('worker.retired', 'worker.lost')) EXECUTE FUNCTION audit_event_ends_worker()
--;
CREATE FUNCTION worker_begins_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(NEW.state = 'active' AND EXISTS (
    SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'worker.registered' AND actor = NEW.principal
      AND payload::json #>> '{data,worker}' = NEW.id AND payload::json #>> '{data,details}' IS NOT DISTINCT FROM NEW.details),
    'worker is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER worker_begins_in_the_log BEFORE INSERT ON worker FOR EACH ROW EXECUTE FUNCTION worker_begins_in_the_log()
--;
CREATE FUNCTION worker_ends_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(
    (NEW.id, NEW.principal, NEW.details) IS NOT DISTINCT FROM (OLD.id, OLD.principal, OLD.details)
    AND OLD.state = 'active' AND NEW.state IN ('retired', 'lost') AND EXISTS (
      SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'worker.' || NEW.state
        AND payload::json #>> '{data,worker}' = NEW.id),
    'worker is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER worker_ends_in_the_log BEFORE UPDATE ON worker FOR EACH ROW EXECUTE FUNCTION worker_ends_in_the_log()
--;
CREATE FUNCTION worker_lease_begins_with_its_worker() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
    SELECT 1 FROM worker AS w JOIN audit_event AS e ON e.event_id = w.last_event_id
    WHERE w.id = NEW.worker AND w.state = 'active' AND (e.payload::json #>> '{data,lease_us}')::bigint = NEW.lease_us),
    'a lease begins and ends with its worker');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER worker_lease_begins_with_its_worker BEFORE INSERT ON worker_lease FOR EACH ROW
  EXECUTE FUNCTION worker_lease_begins_with_its_worker()
--;
CREATE FUNCTION worker_lease_only_beats() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(
    NEW.worker = OLD.worker AND NEW.lease_us = OLD.lease_us AND NEW.beat_at_us >= OLD.beat_at_us
    AND NEW.beat_at_us <= greatest(OLD.beat_at_us, clock_us()),
    'of a lease, only the time of the last beat changes, and never into the future');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER worker_lease_only_beats BEFORE UPDATE ON worker_lease FOR EACH ROW EXECUTE FUNCTION worker_lease_only_beats()
--;
CREATE FUNCTION worker_lease_ends_with_its_worker() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(NOT EXISTS (SELECT 1 FROM worker WHERE id = OLD.worker AND state = 'active'),
    'a lease begins and ends with its worker');
  RETURN OLD;
END
$$
--;
CREATE TRIGGER worker_lease_ends_with_its_worker BEFORE DELETE ON worker_lease FOR EACH ROW
  EXECUTE FUNCTION worker_lease_ends_with_its_worker()
--;
CREATE FUNCTION audit_event_declares_drill() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
BEGIN
  INSERT INTO drill VALUES (data ->> 'drill', NEW.ws, NEW.env, data ->> 'details', 1, NEW.at_us, NEW.event_id);
  PERFORM demand_kept(EXISTS (SELECT 1 FROM drill WHERE id = data ->> 'drill' AND last_event_id = NEW.event_id), 'the row was not kept');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_declares_drill AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'drill.declared') EXECUTE FUNCTION audit_event_declares_drill()
--;
CREATE FUNCTION audit_event_decides_drill() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
  is_found BOOLEAN;
BEGIN
  UPDATE drill SET active = (NEW.type <> 'drill.retired')::int, decided_us = coalesce((data ->> 'last_us')::bigint, decided_us),
    last_event_id = NEW.event_id
  WHERE id = data ->> 'drill' AND active = 1 AND workspace = NEW.ws AND environment = NEW.env
    AND (NEW.type = 'drill.retired' OR decided_us < (data ->> 'first_us')::bigint AND (data ->> 'first_us')::bigint <= (data ->> 'last_us')::bigint);
  is_found := FOUND;
  IF NOT is_found THEN
    RAISE EXCEPTION 'proofgap: stale drill: it is not active, or the tick is decided already' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  IF NEW.type = 'drill.fired' THEN
    INSERT INTO drill_tick VALUES (data ->> 'drill', (data ->> 'last_us')::bigint, NEW.run, NEW.event_id);
    PERFORM demand_kept(EXISTS (SELECT 1 FROM drill_tick WHERE drill = data ->> 'drill' AND event_id = NEW.event_id), 'the tick was not kept');
  END IF;
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_decides_drill AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type IN ('drill.retired', 'drill.fired', 'drill.missed')) EXECUTE FUNCTION audit_event_decides_drill()
--;
CREATE FUNCTION drill_begins_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(NEW.active = 1 AND EXISTS (
    SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'drill.declared' AND ws = NEW.workspace
      AND env = NEW.environment AND at_us = NEW.decided_us AND payload::json #>> '{data,drill}' = NEW.id
      AND payload::json #>> '{data,details}' IS NOT DISTINCT FROM NEW.details),
    'drill is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER drill_begins_in_the_log BEFORE INSERT ON drill FOR EACH ROW EXECUTE FUNCTION drill_begins_in_the_log()
--;
CREATE FUNCTION drill_moves_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(
    (NEW.id, NEW.workspace, NEW.environment, NEW.details) IS NOT DISTINCT FROM (OLD.id, OLD.workspace, OLD.environment, OLD.details)
    AND OLD.active = 1 AND NEW.last_event_id > OLD.last_event_id AND EXISTS (
      SELECT 1 FROM audit_event, LATERAL (SELECT payload::json -> 'data' AS data) AS said
      WHERE event_id = NEW.last_event_id AND data ->> 'drill' = NEW.id
        AND (type = 'drill.retired' AND NEW.active = 0 AND NEW.decided_us = OLD.decided_us
          OR type IN ('drill.fired', 'drill.missed') AND NEW.active = 1 AND NEW.decided_us > OLD.decided_us
            AND NEW.decided_us = (data ->> 'last_us')::bigint)),
    'drill is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER drill_moves_in_the_log BEFORE UPDATE ON drill FOR EACH ROW EXECUTE FUNCTION drill_moves_in_the_log()
--;
CREATE FUNCTION drill_tick_belongs_to_its_event() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
    SELECT 1 FROM audit_event, LATERAL (SELECT payload::json -> 'data' AS data) AS said
    WHERE event_id = NEW.event_id AND type = 'drill.fired' AND run = NEW.run AND data ->> 'drill' = NEW.drill
      AND (data ->> 'last_us')::bigint = NEW.tick_us),
    'drill_tick is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER drill_tick_belongs_to_its_event BEFORE INSERT ON drill_tick FOR EACH ROW
  EXECUTE FUNCTION drill_tick_belongs_to_its_event()
--;
CREATE TRIGGER drill_tick_is_append_only_update BEFORE UPDATE ON drill_tick FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: drill_tick is append-only')
--;
CREATE TRIGGER worker_is_never_deleted BEFORE DELETE ON worker FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of worker are never deleted')
--;
CREATE TRIGGER drill_is_never_deleted BEFORE DELETE ON drill FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of drill are never deleted')
--;
CREATE TRIGGER drill_tick_is_never_deleted BEFORE DELETE ON drill_tick FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of drill_tick are never deleted')
--;
CREATE TRIGGER worker_is_never_emptied BEFORE TRUNCATE ON worker FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of worker are never deleted')
--;
CREATE TRIGGER worker_lease_is_never_emptied BEFORE TRUNCATE ON worker_lease FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: a lease begins and ends with its worker')
--;
CREATE TRIGGER drill_is_never_emptied BEFORE TRUNCATE ON drill FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of drill are never deleted')
--;
CREATE TRIGGER drill_tick_is_never_emptied BEFORE TRUNCATE ON drill_tick FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of drill_tick are never deleted')
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
