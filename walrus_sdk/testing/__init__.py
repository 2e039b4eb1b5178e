"""The ports over a simulated world, without HTTP, processes or waiting: for tests here and in your own project.

Lives here: `SimulatedWorld` with a clock moved by hand, a store and a chain over the embedded local network's state,
a folder in memory, a journal in a temporary home; builders for sites and plans. Terms: *dead ports*: after a simulated
death every port refuses, so that nothing that still runs has effects.
Must not live here: rules of the product; anything that the product itself imports.
"""
