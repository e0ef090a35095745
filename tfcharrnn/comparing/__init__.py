"""Comparing: runs of several variants, side by side, and what they show."""
