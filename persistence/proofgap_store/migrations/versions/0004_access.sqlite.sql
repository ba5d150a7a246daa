-- Who is let in by the network. A token is a principal of its own, with the roles that its events grant; its row follows
-- from the log. That a session began, and that a link was made, are events; the rows of both are volatile, and so is when
-- a token or a session was last used: an event for every request would bury the log under what nobody asks it.
-- Statements are separated by a line that holds only "--;".

CREATE TABLE access_token (
  id          TEXT PRIMARY KEY NOT NULL,
  sha256      TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),
  workspace   TEXT NOT NULL,
  environment TEXT NOT NULL,  -- '*' means all environments of the workspace
  expires_at_us INTEGER NOT NULL,
  active      INTEGER NOT NULL CHECK (active IN (0, 1)),
  created_event_id INTEGER NOT NULL,
  last_event_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID
--;
CREATE TABLE access_token_use (
  id          TEXT PRIMARY KEY NOT NULL REFERENCES access_token (id),
  used_at_us  INTEGER NOT NULL
) STRICT, WITHOUT ROWID
--;
CREATE TABLE access_session (
  id          TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 64),  -- the SHA-256 of what the browser holds
  principal   TEXT NOT NULL,
  name        TEXT,
  seen_at_us  INTEGER NOT NULL,
  expires_at_us INTEGER NOT NULL,
  event_id    INTEGER NOT NULL
) STRICT, WITHOUT ROWID
--;
CREATE TABLE access_link (
  id          TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 64),  -- the SHA-256 of what the link holds
  principal   TEXT NOT NULL,
  name        TEXT,
  expires_at_us INTEGER NOT NULL,
  event_id    INTEGER NOT NULL
) STRICT, WITHOUT ROWID
--;
CREATE TRIGGER audit_event_creates_token AFTER INSERT ON audit_event WHEN NEW.type = 'token.created' BEGIN
  INSERT INTO access_token VALUES (
    json_extract(NEW.payload, '$.data.token'), json_extract(NEW.payload, '$.data.sha256'), NEW.ws, coalesce(NEW.env, '*'),
    json_extract(NEW.payload, '$.data.expires_at_us'), 1, NEW.event_id, NEW.event_id);
  SELECT RAISE(ABORT, 'proofgap: swallowed: the token was not kept')
    WHERE NOT EXISTS (SELECT 1 FROM access_token WHERE last_event_id = NEW.event_id);
END
--;
CREATE TRIGGER audit_event_revokes_token AFTER INSERT ON audit_event WHEN NEW.type = 'token.revoked' BEGIN
  SELECT RAISE(ABORT, 'proofgap: there is no such token in force')
    WHERE NOT EXISTS (SELECT 1 FROM access_token WHERE id = json_extract(NEW.payload, '$.data.token') AND active = 1);
  UPDATE access_token SET active = 0, last_event_id = NEW.event_id WHERE id = json_extract(NEW.payload, '$.data.token');
  SELECT RAISE(ABORT, 'proofgap: swallowed: the token was not revoked') WHERE changes() <> 1;
END
--;
CREATE TRIGGER access_token_begins_in_the_log BEFORE INSERT ON access_token
WHEN NEW.active <> 1 OR NEW.created_event_id IS NOT NEW.last_event_id
  OR NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'token.created'
    AND json_extract(payload, '$.data.token') = NEW.id AND json_extract(payload, '$.data.sha256') = NEW.sha256
    AND json_extract(payload, '$.data.expires_at_us') = NEW.expires_at_us
    AND ws = NEW.workspace AND coalesce(env, '*') = NEW.environment)
  OR EXISTS (SELECT 1 FROM access_token WHERE id = NEW.id OR sha256 = NEW.sha256) BEGIN
  SELECT RAISE(ABORT, 'proofgap: access_token is written through the log only');
END
--;
CREATE TRIGGER access_token_ends_in_the_log BEFORE UPDATE ON access_token
WHEN NEW.id IS NOT OLD.id OR NEW.sha256 IS NOT OLD.sha256 OR NEW.workspace IS NOT OLD.workspace
  OR NEW.environment IS NOT OLD.environment OR NEW.expires_at_us IS NOT OLD.expires_at_us
  OR NEW.created_event_id IS NOT OLD.created_event_id OR OLD.active <> 1 OR NEW.active <> 0
  OR NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.last_event_id AND type = 'token.revoked'
    AND json_extract(payload, '$.data.token') = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: access_token is written through the log only');
END
--;
CREATE TRIGGER access_token_is_never_deleted BEFORE DELETE ON access_token BEGIN
  SELECT RAISE(ABORT, 'proofgap: rows of access_token are never deleted');
END
--;
CREATE TRIGGER access_session_begins_in_the_log BEFORE INSERT ON access_session
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.event_id AND type = 'access.signed_in'
    AND actor = NEW.principal AND json_extract(payload, '$.data.session') = NEW.id
    AND json_extract(payload, '$.data.expires_at_us') = NEW.expires_at_us)
  OR EXISTS (SELECT 1 FROM access_session WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: access_session begins with its event only');
END
--;
CREATE TRIGGER access_session_is_seen_only BEFORE UPDATE ON access_session
WHEN NEW.id IS NOT OLD.id OR NEW.principal IS NOT OLD.principal OR NEW.name IS NOT OLD.name
  OR NEW.expires_at_us IS NOT OLD.expires_at_us OR NEW.event_id IS NOT OLD.event_id OR NEW.seen_at_us < OLD.seen_at_us BEGIN
  SELECT RAISE(ABORT, 'proofgap: of a session only changes when it was last seen');
END
--;
CREATE TRIGGER access_link_begins_in_the_log BEFORE INSERT ON access_link
WHEN NOT EXISTS (SELECT 1 FROM audit_event WHERE event_id = NEW.event_id AND type = 'access.link_made'
    AND actor = NEW.principal AND json_extract(payload, '$.data.link') = NEW.id
    AND json_extract(payload, '$.data.expires_at_us') = NEW.expires_at_us)
  OR EXISTS (SELECT 1 FROM access_link WHERE id = NEW.id) BEGIN
  SELECT RAISE(ABORT, 'proofgap: access_link begins with its event only');
END
--;
CREATE TRIGGER access_link_is_never_changed BEFORE UPDATE ON access_link BEGIN
  SELECT RAISE(ABORT, 'proofgap: a link is never changed');
END
