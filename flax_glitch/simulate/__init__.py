"""Glitches that the project makes itself."""
