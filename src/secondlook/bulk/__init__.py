"""Bulk verbs past one machine: shards of a table, each done once, on a Ray cluster."""
