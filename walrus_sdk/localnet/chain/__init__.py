"""The simulated Sui: objects, Move functions as a table, execution of PTBs, gas, epochs.

Lives here: pure state and its transitions. Terms: *sandbox*, the changes of one transaction before they are committed;
*slot*, a value that commands pass on.
Must not live here: HTTP, GraphQL, a clock, anything of Walrus's HTTP services.
"""
