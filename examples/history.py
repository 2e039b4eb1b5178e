"""Make a history worth looking at: 26 deployments on the embedded local network, some of them with faults.

    python examples/history.py HOME

Everything is real but the network, which runs in this process: each row of the journal was written by a deployment.
"""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from pathlib import Path

import walrus_sdk as ws
from walrus_sdk.localnet.faults import Fault
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.sui.signers import KeySigner

DEPLOYMENTS = 26
FAULTS: dict[int, tuple[Fault, ...]] = {
    3: (Fault("publisher.request", "error", status=503, times=2),),
    6: (Fault("publisher.request", "error", status=503),),  # an outage: this one and the next fail
    7: (Fault("publisher.request", "error", status=503),),
    10: (Fault("publisher.after_certify", "drop", times=1),),  # the answer is lost, the store is not
    12: (Fault("publisher.request", "too_many_requests", times=3),),
    17: (Fault("publisher.body", "latency", latency_s=0.3, times=4),),
    18: (Fault("publisher.request", "error", status=503, times=1), Fault("publisher.body", "drop", times=1)),
    21: (Fault("publisher.request", "error", status=403),),
    23: (Fault("aggregator.request", "error", status=500, times=2),),
    25: (Fault("publisher.request", "error", status=403),),
}
"""What goes wrong at which deployment."""
_RECOVERY = ws.RecoveryOptions(max_retries=2, retry_delay_s=0.05)


def change(site: Path, number: int, chance: random.Random) -> None:
    """Change a few pages, as an author would."""
    (site / "index.html").write_text(f"<h1>Edition {number}</h1>", encoding="utf-8")
    for _ in range(chance.randrange(1, 6)):
        page = site / f"articles/{chance.randrange(40):02}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_bytes(chance.randbytes(chance.randrange(200, 20_000)))


def make(home: Path, count: int = DEPLOYMENTS) -> int:
    """Deploy a changing site so often into the state folder `home`; returns how many deployments ended well.

    The site is written beside the home.
    """
    chance, good = random.Random(11), 0  # noqa: S311  # the same site each time
    site = home.with_name(f"{home.name}-site")
    site.mkdir(parents=True, exist_ok=True)
    with LocalNetwork(n_shards=10) as net:
        network = replace(net.network, settle_s=0.2)
        with ws.connect(home=home, network=network, signer=KeySigner(net.key)) as sites:
            for number in range(count):
                change(site, number, chance)
                net.faults.clear()
                for fault in FAULTS.get(number, ()):
                    net.faults.add(fault)
                try:
                    sites.deploy(
                        site, site_name="gazette", message=f"edition {number}", tags=("demo",), max_quilt_files=3,
                        epochs=3 + number % 3, recovery=_RECOVERY,
                    ).wait()  # fmt: skip
                except ws.WalrusError:
                    continue  # what went wrong is in the journal
                good += 1
    return good


if __name__ == "__main__":
    place = Path(sys.argv[1])
    sys.stdout.write(f"{make(place)} of {DEPLOYMENTS} deployments ended well; state in {place}\n")
