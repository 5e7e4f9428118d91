"""Adaptation: trained networks taught something more, the trunk itself kept."""
