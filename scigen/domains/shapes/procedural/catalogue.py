"""All families, in the order that numbers them; append, never reorder: the number is part of every shape's seed."""

from __future__ import annotations

from scigen.domains.shapes.procedural.airplane import AIRPLANE
from scigen.domains.shapes.procedural.bed import BED
from scigen.domains.shapes.procedural.boat import BOAT
from scigen.domains.shapes.procedural.bolt import BOLT
from scigen.domains.shapes.procedural.bottle import BOTTLE
from scigen.domains.shapes.procedural.bracket import BRACKET
from scigen.domains.shapes.procedural.car import CAR
from scigen.domains.shapes.procedural.chair import CHAIR
from scigen.domains.shapes.procedural.family import Family
from scigen.domains.shapes.procedural.flange import FLANGE
from scigen.domains.shapes.procedural.gear import GEAR
from scigen.domains.shapes.procedural.hammer import HAMMER
from scigen.domains.shapes.procedural.lamp import LAMP
from scigen.domains.shapes.procedural.mug import MUG
from scigen.domains.shapes.procedural.screwdriver import SCREWDRIVER
from scigen.domains.shapes.procedural.shelf import SHELF
from scigen.domains.shapes.procedural.table import TABLE
from scigen.domains.shapes.procedural.teapot import TEAPOT
from scigen.domains.shapes.procedural.vase import VASE
from scigen.domains.shapes.procedural.wrench import WRENCH

__all__ = ["FAMILIES"]

FAMILIES: tuple[Family, ...] = (
    CHAIR, TABLE, LAMP, SHELF, BED,
    MUG, BOTTLE, VASE, TEAPOT,
    HAMMER, WRENCH, SCREWDRIVER,
    CAR, AIRPLANE, BOAT,
    BOLT, GEAR, FLANGE, BRACKET,
)  # fmt: skip
