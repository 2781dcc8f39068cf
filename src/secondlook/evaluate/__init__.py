"""Predictions against given and reassessed labels: accuracy, ReaL, intervals, confusion."""
