"""Clips -> logits -> prediction table: loader, weights, views, run."""
