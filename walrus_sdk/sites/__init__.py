"""Pure knowledge of Walrus Sites, as the official tool and portal behave.

Lives here: ws-resources.json, globs, site paths, headers, the difference between a folder and the chain, the Move
calls that make it so and their packing into transactions, and the portal's serving rules.
Must not live here: disk, network, clock, or what a deployment decides to do about any of it.
"""
