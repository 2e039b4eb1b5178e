"""What carries a plan out: the effect step, uploads, transactions, verification, progress.

Lives here: everything that waits and everything that has effects, through the ports alone. The executor does not
know which verb made the plan. One function (`perform.Performer.perform`) does everything that leaves the process.
Must not live here: decisions (``planning``), knowledge of sites (``sites``), adapters, time or chance of its own.
"""
