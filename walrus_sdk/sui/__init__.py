"""Sui over GraphQL: reading what a site needs, simulating, executing and looking up transactions; signers.

Lives here: the documents that are sent, the client, answers as values, the node's failures as errors of the tree.
Must not live here: what to do about a failure, retries, the journal; what a transaction is made of (``codecs``).
"""
