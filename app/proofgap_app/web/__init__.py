"""The ways in over HTTP: the operator's pages and the API."""
