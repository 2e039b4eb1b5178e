"""The machine that we run on: clocks, waiting, chance, fresh ids, worker threads and worker processes.

Lives here: the real implementations of the ports `Clock`, `Sleep`, `Random`, `Ids` and `Threads`.
Must not live here: decisions, files of the user, the network.
"""
