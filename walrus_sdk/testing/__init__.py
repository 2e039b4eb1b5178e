"""The ports over a simulated world, without HTTP, processes or waiting: for tests here and in your own project.

    world = SimulatedWorld({"index.html": b"<h1>home</h1>"})
    result = await world.deploy(site_name="mine")
    assert await world.served() == world.published()

Lives here: `SimulatedWorld` and its ports: a clock moved by hand, a store and a chain over the embedded local network's
state, a journal and a folder in memory. Terms: *death*: after one every port refuses, so that nothing that still runs
has an effect; *revive*: the next process, over what lasted.
Must not live here: rules of the product; anything that the product itself imports.
"""

from walrus_sdk.testing.death import Death, Life, at_point, is_death
from walrus_sdk.testing.machine import InlineThreads, ManualClock, SeededRandom, SequentialIds
from walrus_sdk.testing.store import MOMENTS, lost
from walrus_sdk.testing.world import PAGES, SimulatedWorld

__all__ = [
    "MOMENTS",
    "PAGES",
    "Death",
    "InlineThreads",
    "Life",
    "ManualClock",
    "SeededRandom",
    "SequentialIds",
    "SimulatedWorld",
    "at_point",
    "is_death",
    "lost",
]
