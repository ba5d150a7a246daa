"""The web: one site that serves pages to people and an HTTP API to programs. Start with `site`.

Every way in ends in the same verbs of the ledger. Needs the extra ``web``; nothing outside this package imports it
before it is asked for.
"""
