"""CDEvents v0.5.1 both ways: the envelope, events into records, records into events."""
