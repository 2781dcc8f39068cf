"""Thin pages: read a table, fill a template, store an answer."""
