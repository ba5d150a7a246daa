"""proofgap: tracks every restore run from draft to outcome, and never claims more recovery than evidence proves.

The core is pure: it reads no clock, no file and no database. Start with `lifecycle` (what is legal), then
`decision` (what it means). The ledger is in the package ``proofgap_store``.
"""
