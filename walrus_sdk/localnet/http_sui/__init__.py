"""The Sui node's wire formats: GraphQL on the official schema, and the one gRPC-Web call of portals.

Lives here: requests to state, state to answers. Resolvers are thin: nodes are dictionaries of values and functions.
Must not live here: rules of execution, faults other than asking for them.
"""
