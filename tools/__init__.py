"""The repository's own tools: build, print, ship, records of fault injection."""
