-- SQLite has no roles: whoever can open the file can read all of it.
-- Statements are separated by a line that holds only "--;".

SELECT 1
