"""A short run of every fuzz target in the quick suite; `run.py` beside this file runs them for long."""

import random

import pytest
from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_accepted(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_only_our_errors_escape(name: str) -> None:
    chance = random.Random(name)
    for _ in range(300):
        TARGETS[name].run(TARGETS[name].mutate(chance.choice(TARGETS[name].seeds), chance))
