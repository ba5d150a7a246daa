"""The ways in: the command line, and what it needs to run real restores. Nothing here decides what is legal or true."""
