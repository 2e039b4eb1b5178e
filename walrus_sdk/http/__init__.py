"""One HTTP/1.1 client for every service: deadlines, caps, origins, and each failure as an error of the tree.

Lives here: the client and its transport (a connection that can tell whether the service has answered before the
body was sent whole), the mapping of foreign exceptions, redaction of addresses and texts, failover between URLs.
Terms: *held body*: a paid body whose last bytes wait for a durable row; *line*: the connection that carries one;
*origin*: scheme, host and port; *circuit*: whether an address may be asked, or rests after failures in a row.
Must not live here: anything that knows Walrus or Sui, a retry, a journal, a clock of its own.
"""
