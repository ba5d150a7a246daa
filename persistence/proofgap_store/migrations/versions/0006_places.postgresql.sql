-- The second wall around people and workers: who is who elsewhere, and what serves it, is not there for a reader.
-- Grants: their own, and those of the workspaces that they read. Workers: their own, and those of whoever holds, or held,
-- a role in such a workspace. Of events that name no workspace those of workers and of sign-ins go the same way.
-- Environments and leases are read whole still: they name nobody, and "nothing is there" is not true of a part.
-- Statements are separated by a line that holds only "--;".

DROP POLICY access_grant_of_readers ON access_grant
--;
CREATE POLICY access_grant_of_its_place ON access_grant
  USING ((SELECT reads_all()) OR principal = ANY ((SELECT named_readers())::text[])
    OR workspace = ANY ((SELECT readable_workspaces())::text[]))
--;
CREATE FUNCTION colleagues() RETURNS TEXT[] LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = proofgap, pg_temp AS $$
-- Whoever holds, or held, a role in a readable workspace.
BEGIN
  RETURN ARRAY(SELECT DISTINCT principal FROM access_grant WHERE workspace = ANY (readable_workspaces()));
END
$$
--;
CREATE FUNCTION works_beyond(someone TEXT) RETURNS BOOLEAN LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = proofgap, pg_temp AS $$
-- Whether somebody holds, or held, a role in a workspace that is not readable.
BEGIN
  RETURN EXISTS (SELECT 1 FROM access_grant WHERE principal = someone AND workspace <> ALL (readable_workspaces()));
END
$$
--;
CREATE FUNCTION is_of_colleague(wanted TEXT) RETURNS BOOLEAN LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = proofgap, pg_temp AS $$
-- Whether a worker is one of theirs.
BEGIN
  RETURN EXISTS (SELECT 1 FROM worker WHERE id = wanted AND principal = ANY (colleagues()));
END
$$
--;
DROP POLICY worker_of_readers ON worker
--;
CREATE POLICY worker_of_its_place ON worker
  USING ((SELECT reads_all()) OR principal = ANY ((SELECT named_readers())::text[])
    OR principal = ANY ((SELECT colleagues())::text[]))
--;
DROP POLICY audit_event_of_readers ON audit_event
--;
CREATE POLICY audit_event_of_its_place ON audit_event FOR SELECT
  USING ((SELECT reads_all()) OR CASE
    WHEN ws IS NOT NULL THEN ws = ANY ((SELECT readable_workspaces())::text[])
    WHEN type IN ('restore.decision.listed', 'audit.exported') THEN names_readable_workspaces(payload)
    WHEN actor = ANY ((SELECT named_readers())::text[]) THEN TRUE
    WHEN type IN ('worker.registered', 'worker.retired', 'worker.lost') THEN
      is_of_colleague(payload::json #>> '{data,worker}')
    WHEN type IN ('access.link_made', 'access.signed_in', 'access.signed_out') THEN
      readers() IS NOT NULL AND NOT works_beyond(actor)
    ELSE readers() IS NOT NULL END)  -- what the ledger says of itself
