"""The embedded local network: Walrus and Sui simulated in one process behind the real wire formats.

Lives here: the simulated world (blobs, epochs, objects, ledger) and the services before it: publisher, aggregator,
Sui node, portal, faults on demand. It is a simulation and says so; being kinder than the real services is a bug.
Must not live here: anything that the product imports: the rooms above the ports reach it through its wire formats
only, and nothing imports this room but `testing`.
"""
