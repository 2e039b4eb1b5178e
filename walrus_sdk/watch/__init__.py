"""How deployments are looked at: progress in words, log lines, alerts, figures, and the forms that other tools read.

Lives here: pure views of progress and of events, for every face alike; rules held against them (`rules`, `conditions`,
`alerts`), figures folded from them (`runs`, `metrics`, `costs`), and what reads a journal for them through ports
(`gather`, `metering`, `monitor`, `sinks`, `exporters`).
Must not live here: anything that writes, but alerts; anything about how to deploy. What is watched never waits for who
watches.
"""
