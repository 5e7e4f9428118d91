"""Parametric families of real objects: closed meshes with exact parts, drawn without end from a seed."""
