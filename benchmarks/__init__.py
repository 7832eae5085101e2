"""How fast, in how much memory: each beside a plain reference, in the same run.

`colorlib bench` runs them. `reference/` does the same work the way public ports of
this family do it; `results/` keeps the records that the book's page is made from.
"""
