-- The same guards on PostgreSQL, cheaper: what is refused is what was refused before, and in the same words.
--
-- What made them dear: a JSON text is parsed again for each field that is read of it, as often as an expression is written
-- out where a subquery is pulled up, or evaluated for each row that is looked at. So what is read more than once is read
-- into a variable first. Spaces between the words of a document are found by one pattern, not by rewriting the document. The
-- head of a stream that is there is updated, not inserted in vain. SECURITY DEFINER is said again: replacing a function
-- forgets it (0005), and keeps who may call it.
-- Statements are separated by a line that holds only "--;".

CREATE OR REPLACE FUNCTION names_a_key_twice(document JSON) RETURNS BOOLEAN LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN CASE json_typeof(document) WHEN 'object'
    THEN (SELECT count(*) <> count(DISTINCT key) FROM json_object_keys(document) AS key) ELSE FALSE END;
END
$$
--;
CREATE OR REPLACE FUNCTION audit_event_links() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = proofgap, pg_temp AS $$
DECLARE
  body CONSTANT json := NEW.payload::json;
  data CONSTANT json := body -> 'data';
  before audit_stream;
BEGIN
  IF NEW.payload !~ '^(?:[^"\s]|"(?:[^"\\]|\\.)*")*$' OR names_a_key_twice(body) OR names_a_key_twice(data)
     OR names_a_key_twice(data -> 'details') THEN
    RAISE EXCEPTION 'proofgap: the event is not in canonical form' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  SELECT * INTO before FROM audit_stream WHERE stream = NEW.stream FOR UPDATE;
  IF body ->> 'prev' IS DISTINCT FROM coalesce(before.head, repeat('0', 64)) OR NEW.seq <> coalesce(before.seq + 1, 0) THEN
    RAISE EXCEPTION 'proofgap: stale stream: the event does not follow the head of its stream'
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  IF before.stream IS NULL THEN
    INSERT INTO audit_stream (stream, seq, head, last_event_id) VALUES (NEW.stream, NEW.seq, NEW.leaf, NEW.event_id);
  ELSE
    UPDATE audit_stream SET seq = NEW.seq, head = NEW.leaf, last_event_id = NEW.event_id WHERE stream = NEW.stream;
  END IF;
  IF NOT EXISTS (SELECT 1 FROM audit_stream WHERE stream = NEW.stream AND last_event_id = NEW.event_id) THEN
    RAISE EXCEPTION 'proofgap: swallowed: the head of the stream was not kept' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END
$$
--;
CREATE OR REPLACE FUNCTION demand_edge(of_machine TEXT, data JSON) RETURNS VOID LANGUAGE plpgsql
SET search_path = proofgap, pg_temp AS $$
DECLARE
  used CONSTANT text := data ->> 'definition';
  left_from CONSTANT text := data ->> 'source';
  fired CONSTANT text := data ->> 'event';
  led_to CONSTANT text := data ->> 'target';
BEGIN
  IF NOT EXISTS (
    SELECT 1 FROM machine_edge
    WHERE definition = used AND source = left_from AND event = fired AND target = led_to AND definition = (
      SELECT d.definition FROM machine_definition AS d WHERE d.machine = of_machine ORDER BY last_event_id DESC LIMIT 1)) THEN
    RAISE EXCEPTION 'proofgap: illegal edge: the machine in force has no such move' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
END
$$
--;
CREATE OR REPLACE FUNCTION restore_run_moves_in_the_log() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = proofgap, pg_temp AS $$
DECLARE
  body json;
  data json;
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
  body := (SELECT payload::json FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'restore.run.transitioned');
  data := body -> 'data';
  PERFORM demand_log(
    OLD.status NOT IN ('completed', 'partial', 'completed_with_errors', 'failed', 'cancelled')
    AND NEW.version = OLD.version + 1
    AND (NEW.id, NEW.workspace, NEW.environment, NEW.is_dry_run, NEW.operation_run_ref, NEW.imported, NEW.created_at_us)
      IS NOT DISTINCT FROM
      (OLD.id, OLD.workspace, OLD.environment, OLD.is_dry_run, OLD.operation_run_ref, OLD.imported, OLD.created_at_us)
    AND data ->> 'subject' = NEW.id AND data ->> 'source' = OLD.status AND data ->> 'target' = NEW.status
    AND (data ->> 'version')::bigint = NEW.version AND data ->> 'details' IS NOT DISTINCT FROM NEW.details
    AND body ->> 'op' IS NOT DISTINCT FROM NEW.operation_run_id
    AND NEW.holds_env = CASE WHEN data ->> 'event' = 'start' THEN 1 WHEN NEW.status = 'running' THEN OLD.holds_env
      ELSE coalesce((data #>> '{details,holds_environment}')::boolean, FALSE)::int END,
    'restore_run is written through the log only, and never after its end');
  RETURN NEW;
END
$$
--;
CREATE OR REPLACE FUNCTION operation_run_moves_in_the_log() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := (
    SELECT payload::json -> 'data' FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'restore.operation.transitioned');
BEGIN
  PERFORM demand_log(
    OLD.status <> 'completed' AND NEW.version = OLD.version + 1
    AND (NEW.id, NEW.workspace, NEW.environment, NEW.run, NEW.imported)
      IS NOT DISTINCT FROM (OLD.id, OLD.workspace, OLD.environment, OLD.run, OLD.imported)
    AND data ->> 'subject' = NEW.id AND data ->> 'source' = OLD.status AND data ->> 'target' = NEW.status
    AND (data ->> 'version')::bigint = NEW.version AND data ->> 'outcome' IS NOT DISTINCT FROM NEW.outcome,
    'operation_run is written through the log only, and never after its end');
  RETURN NEW;
END
$$
--;
CREATE OR REPLACE FUNCTION audit_event_moves_run() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = proofgap, pg_temp AS $$
DECLARE
  body CONSTANT json := NEW.payload::json;
  data CONSTANT json := body -> 'data';
  moved CONSTANT text := data ->> 'subject';
  left_from CONSTANT text := data ->> 'source';
  before CONSTANT bigint := (data ->> 'version')::bigint - 1;
  starts CONSTANT boolean := data ->> 'event' = 'start';
  is_found BOOLEAN;
BEGIN
  PERFORM demand_edge('run', data);
  PERFORM demand_found(EXISTS (
    SELECT 1 FROM restore_run WHERE id = moved AND workspace = NEW.ws AND environment = NEW.env
      AND status = left_from AND version = before));
  IF starts THEN
    PERFORM demand_claim(
      NOT EXISTS (SELECT 1 FROM restore_run WHERE workspace = NEW.ws AND environment = NEW.env AND holds_env = 1)
      AND (data #>> '{details,worker}' IS NULL
        OR EXISTS (SELECT 1 FROM worker_lease WHERE worker = data #>> '{details,worker}')));
  END IF;
  UPDATE restore_run SET
    status = data ->> 'target', version = version + 1, operation_run_id = body ->> 'op',
    details = data ->> 'details', last_event_id = NEW.event_id,
    holds_env = CASE WHEN starts THEN 1 WHEN data ->> 'target' = 'running' THEN holds_env
      ELSE coalesce((data #>> '{details,holds_environment}')::boolean, FALSE)::int END
  WHERE id = moved AND workspace = NEW.ws AND environment = NEW.env AND status = left_from AND version = before;
  is_found := FOUND;
  PERFORM demand_kept(is_found, 'the record was not moved');
  RETURN NULL;
END
$$
--;
CREATE OR REPLACE FUNCTION audit_event_moves_operation() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
  moved CONSTANT text := data ->> 'subject';
  left_from CONSTANT text := data ->> 'source';
  before CONSTANT bigint := (data ->> 'version')::bigint - 1;
  is_found BOOLEAN;
BEGIN
  PERFORM demand_edge('operation', data);
  PERFORM demand_found(EXISTS (
    SELECT 1 FROM operation_run WHERE id = moved AND workspace = NEW.ws AND environment = NEW.env
      AND status = left_from AND version = before));
  UPDATE operation_run SET
    status = data ->> 'target', version = version + 1, outcome = data ->> 'outcome', last_event_id = NEW.event_id
  WHERE id = moved AND workspace = NEW.ws AND environment = NEW.env AND status = left_from AND version = before;
  is_found := FOUND;
  PERFORM demand_kept(is_found, 'the record was not moved');
  RETURN NULL;
END
$$
--;
CREATE OR REPLACE FUNCTION operation_run_begins_in_the_log() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := (
    SELECT payload::json -> 'data' FROM audit_event
    WHERE event_id = NEW.last_event_id AND type IN ('restore.operation.created', 'restore.operation.imported')
      AND ws = NEW.workspace AND env = NEW.environment);
BEGIN
  PERFORM demand_log(
    data ->> 'subject' = NEW.id AND data ->> 'target' = NEW.status AND data ->> 'outcome' IS NOT DISTINCT FROM NEW.outcome,
    'operation_run is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE OR REPLACE FUNCTION readable_workspaces() RETURNS TEXT[] LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = proofgap, pg_temp AS $$
-- Not in SQL: that would be planned each time. What `named_readers` says is said here again: each call of it costs as much
-- as the look at the grants, and one statement comes here for each table that it names.
DECLARE
  named CONSTANT text := current_setting('proofgap.reader', true);
BEGIN
  IF coalesce(named, '') IN ('', '*') THEN
    RETURN '{}';
  END IF;
  RETURN ARRAY(
    SELECT DISTINCT workspace FROM access_grant
    WHERE active = 1 AND principal = ANY (ARRAY(SELECT json_array_elements_text(named::json))));
END
$$
