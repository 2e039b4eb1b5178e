"""Every decision: what a plan holds, how files are packed, what it costs, what to do after a failure.

Lives here: pure functions on frozen values, one rule a module; `build` composes them.
Must not live here: I/O, a clock, randomness, `await`.
"""
