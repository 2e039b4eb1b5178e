"""Walrus over HTTP: publisher, aggregator, and a caching proxy before it.

Lives here: routes, queries, errors and headers as the official services have them, one concern a module.
Must not live here: what a blob is and who paid (``localnet.blobs``), and anything of Sui.
Source of every rule: docs/explanation/formats.md (Walrus over HTTP).
"""
