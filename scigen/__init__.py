"""scigen: a scientific 3D and graph generation workbench.

Importing the package costs nothing: heavy libraries are imported by the modules that need them.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.7.0"
