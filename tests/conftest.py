"""Fixtures of every test: no network, and seeds that are asked for rather than global."""

from __future__ import annotations

import socket

import numpy as np
import pytest
import torch

torch.set_num_threads(1)  # the suite runs on small shared machines, and one thread gives one answer


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any attempt to reach a network fails the test; socket pairs and Unix sockets stay."""

    def refuse(*args: object) -> None:
        raise OSError(f"tests run offline: a connection to {args[1:]} was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture
def seed() -> int:
    """The one seed of the tests."""
    return 20240611


@pytest.fixture
def rng(seed: int) -> torch.Generator:
    """A torch generator, fresh for each test."""
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def numpy_rng(seed: int) -> np.random.Generator:
    """A numpy generator, fresh for each test."""
    return np.random.default_rng(seed)
