"""Clips and labels -> weights: module, data, losses, loop, run folder."""
