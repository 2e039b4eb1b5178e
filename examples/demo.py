"""Deploy `examples/site` on the embedded local network, fetch its page as a browser would, and show its address."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx

import walrus_sdk as ws

SITE = Path(__file__).parent / "site"


def fetch(url: str, path: str) -> bytes:
    """Get a page of the local portal; the site's name does not resolve outside browsers, so it goes into Host."""
    parts = urlsplit(url)
    answer = httpx.get(f"http://127.0.0.1:{parts.port}{path}", headers={"Host": parts.netloc}, trust_env=False)
    answer.raise_for_status()
    return answer.content


def main() -> int:
    """Deploy, check the page byte for byte, print the address."""
    result = ws.run.deploy(SITE, site_name="demo", network="local", progress=True)
    same = fetch(result.url, "/") == (SITE / "index.html").read_bytes()
    lines = (
        f"site      {result.site_id}",
        f"stored    {result.cost.stored_bytes} bytes for {result.cost.frost}, gas {result.cost.gas}",
        f"page      {'served byte for byte' if same else 'NOT as it should be'}",
        f"address   {result.url}   (in a browser; a simulation on this machine)",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    port, host = urlsplit(result.url).port, urlsplit(result.url).netloc
    sys.stdout.write(f"try       curl -H 'Host: {host}' http://127.0.0.1:{port}/\n")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
