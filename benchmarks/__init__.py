"""How fast, in how much memory: each beside a plain reference, in the same run.

`python -m benchmarks` runs them. `reference/` does the same work as public ports of
this family do it; `results/` keeps the records that the page of the book is made from.
"""
