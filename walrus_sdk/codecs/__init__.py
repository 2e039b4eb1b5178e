"""Pure bytes: the formats of Walrus and Sui, without I/O, clock, randomness or async.

Lives here: RedStuff blob ids, quilts, storage cost; BCS, transactions, keys and signatures, ids of Sui objects,
texts (base36/58/64, bech32). Every format names its source; `tests/vectors` holds data made with the official
packages, and every codec reproduces it byte for byte.
Must not live here: files, sockets, decisions, anything that knows about deployments.
"""
