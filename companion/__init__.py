"""The runs behind the book: settings, records, ablations, statistics and reports."""
