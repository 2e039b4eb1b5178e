"""Walrus over HTTP: store through publishers, read through aggregators. Implements the port `BlobStore`.

Lives here: the requests' exact form (queries, multipart framing), the body whose last bytes are held back until the
store is journalled as released, the answers' form, and what each refusal means.
Terms: *receipt*: a publisher's answer to a store; *early answer*: one that came before the body was whole; *reason*:
the machine-readable word in a structured error; *fresh key*: a query that names the same blob under another cache key.
Must not live here: a retry, a journal, a decision whether a receipt is good enough, encoding.
"""
