"""The operator's pages: what a person reads and presses in a browser, written on the server.

Start with `routes`. Each page has a view model (a pure function from what the ledger shows to what the template
prints) and a template. Refuses to know how somebody signed in, and every rule of the product: what a run means is
`proofgap.decision`, what may be done is the ledger's.
"""
