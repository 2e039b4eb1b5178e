"""The verbs: what a user can ask for, put together from planning, the engine and the ports.

Lives here: sessions, planning a folder, carrying plans out, unfinished deployments, reports, verification.
`session` alone knows the adapters and joins them to the engine. Terms: *survey*: what was found before anything is
decided; *unfinished*: a deployment of the same site that has not come to its end.
Must not live here: decisions on bytes, packing or retries (``planning``, ``sites``), effects of its own (``engine``),
output (the faces).
"""
