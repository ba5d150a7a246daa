-- The second wall on PostgreSQL. Nothing here names a role: who may do what is granted by `proofgap db roles`.
--
-- Rows: whoever does not own the tables reads the rows of the workspaces in which the named readers hold a role, and
-- nothing where nobody is named. The ledger names them for each transaction (`proofgap.reader`): a JSON array of
-- principals, or `*` for what the ledger itself looks at (set-up, checkpoints, verification, grants, imports).
-- Grants and environments are read whole by whoever is a reader: "nobody else holds a role there" is not true of a part.
-- Tables of hashes, of machines and of the schema have no rows of anybody.
-- Triggers: they run with the rights of whoever owns the tables, so nobody else needs the right to write rows that
-- follow from events. Two do not, because what they do is a right of its own: erasing and pruning.
-- Statements are separated by a line that holds only "--;".

CREATE FUNCTION readers() RETURNS TEXT LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT nullif(current_setting('proofgap.reader', true), '')
$$
--;
CREATE FUNCTION reads_all() RETURNS BOOLEAN LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT coalesce(current_setting('proofgap.reader', true) = '*', FALSE)
$$
--;
CREATE FUNCTION named_readers() RETURNS TEXT[] LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = proofgap, pg_temp AS $$
BEGIN
  RETURN CASE WHEN reads_all() OR readers() IS NULL THEN '{}'
    ELSE ARRAY(SELECT json_array_elements_text(readers()::json)) END;
END
$$
--;
CREATE FUNCTION readable_workspaces() RETURNS TEXT[] LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = proofgap, pg_temp AS $$
-- Not in SQL: that would be planned each time.
BEGIN
  RETURN ARRAY(SELECT DISTINCT workspace FROM access_grant WHERE active = 1 AND principal = ANY (named_readers()));
END
$$
--;
CREATE FUNCTION names_readable_workspaces(payload TEXT) RETURNS BOOLEAN LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = proofgap, pg_temp AS $$
-- Whether all that a list of runs, or an export, speaks of is readable.
  SELECT NOT EXISTS (
    SELECT 1 FROM json_each(payload, '$.data.rows') AS line LEFT JOIN restore_run AS r ON r.id = line.value ->> 0
    WHERE (r.workspace = ANY (readable_workspaces())) IS NOT TRUE)
  AND NOT EXISTS (
    SELECT 1 FROM json_each(payload, '$.data.scopes') AS line
    WHERE (line.value ->> 0 = ANY (readable_workspaces())) IS NOT TRUE)
  AND readers() IS NOT NULL
$$
--;
CREATE POLICY environment_of_readers ON environment USING (readers() IS NOT NULL)
--;
CREATE POLICY access_grant_of_readers ON access_grant USING (readers() IS NOT NULL)  -- the law: a part of it would allow more
--;
CREATE POLICY operation_run_of_readers ON operation_run
  USING ((SELECT reads_all()) OR workspace = ANY ((SELECT readable_workspaces())::text[]))
--;
CREATE POLICY restore_run_of_readers ON restore_run
  USING ((SELECT reads_all()) OR workspace = ANY ((SELECT readable_workspaces())::text[]))
--;
CREATE POLICY evidence_snapshot_of_readers ON evidence_snapshot
  USING ((SELECT reads_all()) OR workspace = ANY ((SELECT readable_workspaces())::text[]))
--;
CREATE POLICY result_item_of_readers ON result_item
  USING ((SELECT reads_all()) OR EXISTS (SELECT 1 FROM restore_run AS r WHERE r.id = result_item.run))
--;
CREATE POLICY evidence_check_of_readers ON evidence_check
  USING ((SELECT reads_all()) OR EXISTS (SELECT 1 FROM evidence_snapshot AS s WHERE s.id = evidence_check.snapshot))
--;
CREATE POLICY receipt_of_readers ON receipt USING ((SELECT reads_all()) OR actor = ANY ((SELECT named_readers())::text[]))
--;
CREATE POLICY audit_hold_of_readers ON audit_hold
  USING ((SELECT reads_all()) OR CASE
    WHEN workspace IS NOT NULL THEN workspace = ANY ((SELECT readable_workspaces())::text[])
    WHEN run IS NOT NULL THEN EXISTS (SELECT 1 FROM restore_run AS r WHERE r.id = audit_hold.run)
    ELSE readers() IS NOT NULL END)
--;
CREATE POLICY audit_event_of_readers ON audit_event FOR SELECT
  USING ((SELECT reads_all()) OR CASE
    WHEN ws IS NOT NULL THEN ws = ANY ((SELECT readable_workspaces())::text[])
    WHEN type IN ('restore.decision.listed', 'audit.exported') THEN names_readable_workspaces(payload)
    ELSE readers() IS NOT NULL END)  -- what the ledger says of itself
--;
CREATE POLICY audit_event_by_its_kind ON audit_event FOR INSERT
  WITH CHECK (((SELECT reads_all()) OR readers() IS NOT NULL AND (ws IS NULL OR ws = ANY ((SELECT readable_workspaces())::text[])))
    AND CASE
    WHEN type = 'audit.redacted' THEN has_table_privilege('proofgap.audit_private', 'DELETE')
    WHEN type = 'audit.pruned' THEN has_column_privilege('proofgap.audit_event', 'payload', 'UPDATE')
    WHEN type = 'access.denied' THEN TRUE
    ELSE has_table_privilege('proofgap.receipt', 'INSERT') END)
--;
CREATE POLICY audit_private_of_readers ON audit_private
  USING ((SELECT reads_all()) OR EXISTS (SELECT 1 FROM audit_event AS e WHERE e.event_id = audit_private.event_id))
--;
CREATE POLICY worker_of_readers ON worker USING (readers() IS NOT NULL)  -- workers are of no workspace
--;
CREATE POLICY worker_lease_of_readers ON worker_lease USING (readers() IS NOT NULL)
--;
CREATE POLICY drill_of_readers ON drill
  USING ((SELECT reads_all()) OR workspace = ANY ((SELECT readable_workspaces())::text[]))
--;
CREATE POLICY drill_tick_of_readers ON drill_tick
  USING ((SELECT reads_all()) OR EXISTS (SELECT 1 FROM drill AS d WHERE d.id = drill_tick.drill))
--;
CREATE POLICY access_token_of_readers ON access_token
  USING ((SELECT reads_all()) OR workspace = ANY ((SELECT readable_workspaces())::text[]))
--;
CREATE POLICY access_token_use_of_readers ON access_token_use
  USING ((SELECT reads_all()) OR EXISTS (SELECT 1 FROM access_token AS t WHERE t.id = access_token_use.id))
--;
CREATE POLICY access_session_of_readers ON access_session USING ((SELECT reads_all()) OR principal = ANY ((SELECT named_readers())::text[]))
--;
CREATE POLICY access_link_of_readers ON access_link USING ((SELECT reads_all()) OR principal = ANY ((SELECT named_readers())::text[]))
--;
ALTER VIEW audit_tombstone SET (security_invoker = true)
--;
DROP FUNCTION settled_number()
--;
CREATE FUNCTION settled_number() RETURNS BIGINT LANGUAGE plpgsql SECURITY DEFINER SET search_path = proofgap, pg_temp AS $$
-- The number up to which every event is there, or never will be. Whoever writes holds, until the end, a lock that names
-- the last number before its own (audit_event_is_announced), so nobody waits for anybody: what is beyond the first
-- write that is under way is taken the next time. The number is read before the locks: a write that took a number up to
-- it has announced itself by then, or is over.
DECLARE
  last CONSTANT bigint := (SELECT last_value FROM audit_event_number);
BEGIN
  RETURN (
    SELECT coalesce(min(last - CASE WHEN behind < 2147483648 THEN behind ELSE 0 END), last)  -- the lock names 32 bits of it
    FROM (SELECT (last - objid::bigint) & 4294967295 AS behind FROM pg_locks
      WHERE locktype = 'advisory' AND classid = 1886547814 AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS announced);
END
$$
--;
CREATE FUNCTION audit_event_is_announced() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared((1886547814::bigint << 32) | ((last_value - (NOT is_called)::int) & 4294967295))
    FROM audit_event_number;
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_is_announced BEFORE INSERT ON audit_event FOR EACH STATEMENT
  EXECUTE FUNCTION audit_event_is_announced()
--;
ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_is_announced
--;
DO $$
DECLARE
  found RECORD;
BEGIN
  FOR found IN SELECT DISTINCT polrelid::regclass AS name FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
    WHERE c.relnamespace = 'proofgap'::regnamespace LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', found.name);
  END LOOP;
  FOR found IN SELECT oid::regprocedure AS name FROM pg_proc
    WHERE pronamespace = 'proofgap'::regnamespace AND prorettype = 'trigger'::regtype
      AND proname NOT IN ('audit_event_redacts', 'audit_event_prunes') LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER', found.name);
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', found.name);  -- else anybody hangs it on a table of theirs
  END LOOP;
END
$$
