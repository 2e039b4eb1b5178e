"""How deployments are looked at: progress in words, and log lines.

Lives here: pure views of progress and of events, for every face alike.
Must not live here: input and output, clocks, decisions; anything that writes. What is watched never waits for who
watches.
"""
