"""Scores of generated objects: plain functions on arrays and RDKit molecules, each with its definition."""
