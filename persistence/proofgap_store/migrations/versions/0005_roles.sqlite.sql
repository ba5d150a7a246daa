-- SQLite has no roles: whoever can open the file can read all of it. Nothing differs here.
SELECT 1
