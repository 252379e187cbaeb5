"""Any date range: planned, loaded from archive and REST, written by one writer."""
