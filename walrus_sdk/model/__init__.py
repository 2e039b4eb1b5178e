"""Frozen values that every room shares, with pure views of their own fields.

Lives here: ids, amounts, epochs, sites, plans, events, deployments, networks.
Must not live here: I/O, clocks, randomness, decisions, or an import of any room but `errors`.
"""
