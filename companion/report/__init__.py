"""What the book shows of the records: tables, figures and widgets."""
