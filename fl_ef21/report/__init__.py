"""From the records of runs to what a person reads: page, tables, figures, progress."""
