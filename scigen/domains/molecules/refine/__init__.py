"""Refinement: force-field geometries carried to reference (density-functional) ones, graph and order of atoms kept."""
