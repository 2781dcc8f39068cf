"""Candidates -> tasks -> answers, through one append-only store."""
