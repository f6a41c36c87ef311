"""Figures that are kept with every batch, and which of them are old."""
