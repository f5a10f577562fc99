"""A study that is deployed: EF21 on quadratics, light enough to start a process a message."""
