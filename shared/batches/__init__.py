"""Batches: many messages for one agent, submitted, run, counted, paid for and ended together."""
