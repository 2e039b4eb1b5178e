"""``python -m walrus_sdk.localnet``: the local network's own process."""

from walrus_sdk.localnet.daemon import main

main()
