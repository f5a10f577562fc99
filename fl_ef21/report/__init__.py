"""From a run's records to what a person reads: table, figures, progress."""
