-- Who is let in by the network, on PostgreSQL; the same tables and guards as on SQLite (0004_access.sqlite.sql).
-- Statements are separated by a line that holds only "--;".

CREATE TABLE access_token (
  id          TEXT COLLATE "C" PRIMARY KEY,
  sha256      TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(sha256) = 64),
  workspace   TEXT COLLATE "C" NOT NULL,
  environment TEXT COLLATE "C" NOT NULL,  -- '*' means all environments of the workspace
  expires_at_us BIGINT NOT NULL,
  active      BIGINT NOT NULL CHECK (active IN (0, 1)),
  created_event_id BIGINT NOT NULL,
  last_event_id BIGINT NOT NULL
)
--;
CREATE TABLE access_token_use (
  id          TEXT COLLATE "C" PRIMARY KEY REFERENCES access_token (id),
  used_at_us  BIGINT NOT NULL
)
--;
CREATE TABLE access_session (
  id          TEXT COLLATE "C" PRIMARY KEY CHECK (length(id) = 64),  -- the SHA-256 of what the browser holds
  principal   TEXT COLLATE "C" NOT NULL,
  name        TEXT COLLATE "C",
  seen_at_us  BIGINT NOT NULL,
  expires_at_us BIGINT NOT NULL,
  event_id    BIGINT NOT NULL
)
--;
CREATE TABLE access_link (
  id          TEXT COLLATE "C" PRIMARY KEY CHECK (length(id) = 64),  -- the SHA-256 of what the link holds
  principal   TEXT COLLATE "C" NOT NULL,
  name        TEXT COLLATE "C",
  expires_at_us BIGINT NOT NULL,
  event_id    BIGINT NOT NULL
)
--;
CREATE FUNCTION audit_event_creates_token() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  data CONSTANT json := NEW.payload::json -> 'data';
BEGIN
  INSERT INTO access_token VALUES (
    data ->> 'token', data ->> 'sha256', NEW.ws, coalesce(NEW.env, '*'), (data ->> 'expires_at_us')::bigint, 1, NEW.event_id,
    NEW.event_id);
  PERFORM demand_kept(EXISTS (SELECT 1 FROM access_token WHERE last_event_id = NEW.event_id), 'the token was not kept');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_creates_token AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'token.created') EXECUTE FUNCTION audit_event_creates_token()
--;
CREATE FUNCTION audit_event_revokes_token() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
DECLARE
  revoked CONSTANT text := NEW.payload::json #>> '{data,token}';
BEGIN
  PERFORM demand_log(EXISTS (SELECT 1 FROM access_token WHERE id = revoked AND active = 1), 'there is no such token in force');
  UPDATE access_token SET active = 0, last_event_id = NEW.event_id WHERE id = revoked;
  PERFORM demand_kept(FOUND, 'the token was not revoked');
  RETURN NULL;
END
$$
--;
CREATE TRIGGER audit_event_revokes_token AFTER INSERT ON audit_event FOR EACH ROW
  WHEN (NEW.type = 'token.revoked') EXECUTE FUNCTION audit_event_revokes_token()
--;
CREATE FUNCTION access_token_begins_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(NEW.active = 1 AND NEW.created_event_id = NEW.last_event_id AND EXISTS (
      SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'token.created'
        AND payload::json #>> '{data,token}' = NEW.id AND payload::json #>> '{data,sha256}' = NEW.sha256
        AND (payload::json #>> '{data,expires_at_us}')::bigint = NEW.expires_at_us
        AND ws = NEW.workspace AND coalesce(env, '*') = NEW.environment)
    AND NOT EXISTS (SELECT 1 FROM access_token WHERE id = NEW.id OR sha256 = NEW.sha256),
    'access_token is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER access_token_begins_in_the_log BEFORE INSERT ON access_token FOR EACH ROW
  EXECUTE FUNCTION access_token_begins_in_the_log()
--;
CREATE FUNCTION access_token_ends_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(
    (NEW.id, NEW.sha256, NEW.workspace, NEW.environment, NEW.expires_at_us, NEW.created_event_id)
      = (OLD.id, OLD.sha256, OLD.workspace, OLD.environment, OLD.expires_at_us, OLD.created_event_id)
    AND OLD.active = 1 AND NEW.active = 0 AND EXISTS (
      SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'token.revoked'
        AND payload::json #>> '{data,token}' = NEW.id),
    'access_token is written through the log only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER access_token_ends_in_the_log BEFORE UPDATE ON access_token FOR EACH ROW
  EXECUTE FUNCTION access_token_ends_in_the_log()
--;
CREATE TRIGGER access_token_is_never_deleted BEFORE DELETE ON access_token FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: rows of access_token are never deleted')
--;
CREATE TRIGGER access_token_is_never_emptied BEFORE TRUNCATE ON access_token FOR EACH STATEMENT
  EXECUTE FUNCTION refuse('proofgap: rows of access_token are never deleted')
--;
CREATE FUNCTION access_session_begins_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
      SELECT 1 FROM audit_event WHERE event_id = NEW.event_id AND type = 'access.signed_in' AND actor = NEW.principal
        AND payload::json #>> '{data,session}' = NEW.id
        AND (payload::json #>> '{data,expires_at_us}')::bigint = NEW.expires_at_us)
    AND NOT EXISTS (SELECT 1 FROM access_session WHERE id = NEW.id),
    'access_session begins with its event only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER access_session_begins_in_the_log BEFORE INSERT ON access_session FOR EACH ROW
  EXECUTE FUNCTION access_session_begins_in_the_log()
--;
CREATE FUNCTION access_session_is_seen_only() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log((NEW.id, NEW.principal, NEW.expires_at_us, NEW.event_id)
      = (OLD.id, OLD.principal, OLD.expires_at_us, OLD.event_id)
    AND NEW.name IS NOT DISTINCT FROM OLD.name AND NEW.seen_at_us >= OLD.seen_at_us,
    'of a session only changes when it was last seen');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER access_session_is_seen_only BEFORE UPDATE ON access_session FOR EACH ROW
  EXECUTE FUNCTION access_session_is_seen_only()
--;
CREATE FUNCTION access_link_begins_in_the_log() RETURNS trigger LANGUAGE plpgsql SET search_path = proofgap, pg_temp AS $$
BEGIN
  PERFORM demand_log(EXISTS (
      SELECT 1 FROM audit_event WHERE event_id = NEW.event_id AND type = 'access.link_made' AND actor = NEW.principal
        AND payload::json #>> '{data,link}' = NEW.id
        AND (payload::json #>> '{data,expires_at_us}')::bigint = NEW.expires_at_us)
    AND NOT EXISTS (SELECT 1 FROM access_link WHERE id = NEW.id),
    'access_link begins with its event only');
  RETURN NEW;
END
$$
--;
CREATE TRIGGER access_link_begins_in_the_log BEFORE INSERT ON access_link FOR EACH ROW
  EXECUTE FUNCTION access_link_begins_in_the_log()
--;
CREATE TRIGGER access_link_is_never_changed BEFORE UPDATE ON access_link FOR EACH ROW
  EXECUTE FUNCTION refuse('proofgap: a link is never changed')
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
