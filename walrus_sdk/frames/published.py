"""The frames `blobs` and `versions`: what is stored, and what is published.

What a site consists of now stands in the manifest of its newest version, whoever published it: a rollback and an
adopted site have no files of their own in the journal, and a blob may have been stored for another site.
"""

from __future__ import annotations

from walrus_sdk.frames.schema import Schema, amount, case, category, count, flag, lasted, number, text, time
from walrus_sdk.model.network import EPOCH_S, LOCAL, MAINNET, TESTNET

__all__ = ["BLOBS", "NETWORKS", "SIZE", "VERBS", "VERSIONS"]

NETWORKS = (LOCAL.name, TESTNET.name, MAINNET.name)
"""The networks' names."""
VERBS = ("deploy", "rollback", "cleanup", "adopt", "forget")
"""What a deployment is a run of, or a record of."""
SIZE = """(select max(size) from patches where chain = v.chain and blob_id = json_extract(r.value, '$.blob_id')
    and sha256 = json_extract(r.value, '$.blob_hash'))"""
"""Bytes of a resource `r` of a version `v`, whose manifest does not tell them; of a blob that was stored here."""

_EPOCH_MS = case("k.network", {name: str(seconds * 1000) for name, seconds in EPOCH_S.items()})
_LEFT = "max(0, b.end_epoch - k.epoch - {})"

BLOBS = Schema(
    "blobs",
    "one blob that is stored, or was",
    "blobs",
    """blobs b
    left join operations o on o.chain = b.chain and o.kind = 'store' and o.name = b.blob_id
    left join deployments d on d.id = o.deployment
    left join (select deployment, operation, max(finished_ms) finish from attempts where :mine
        group by deployment, operation) a on a.deployment = o.deployment and a.operation = o.operation
    left join (select chain, blob_id, count(distinct sha256) files from patches group by chain, blob_id) p
        on p.chain = b.chain and p.blob_id = b.blob_id
    left join (
        select v.chain, json_extract(r.value, '$.blob_id') blob_id, count(*) files
        from (select chain, site_id, max(n), manifest from versions group by chain, site_id) v
        join json_each(v.manifest, '$.resources') r group by 1, 2) c
        on c.chain = b.chain and c.blob_id = b.blob_id
    left join (
        select w.chain, w.network, max(x.wall_ms) at, coalesce(json_extract(x.data, '$.epoch'),
            json_extract(x.data, '$.end_epoch') - json_extract(x.data, '$.epochs')) epoch
        from deployments w
        join events x on x.deployment = w.id and x.n = 1 and x.type in ('deployment.planned', 'site.adopted')
        where json_extract(x.data, '$.epochs') > 0 or json_extract(x.data, '$.epoch') > 0
        group by w.chain) k on k.chain = b.chain""",
    (
        text("blob_id", "b.blob_id", "the blob's id"),
        text("chain", "b.chain", "the chain's id"),
        category("network", "coalesce(d.network, k.network)", "the network's name", NETWORKS),
        text("object_id", "b.object_id", "its Blob object, where there is one of ours"),
        text("site_name", "d.site_name", "the site that it was stored for"),
        text("deployment", "o.deployment", "the deployment that stored it"),
        time("start", "a.finish", "when it was stored"),
        time("end", f"iif(b.end_epoch > 0, k.at + {_LEFT.format(1)} * {_EPOCH_MS}, null)",
             "when its storage is over at the earliest, where epochs follow a clock"),
        time("end_latest", f"iif(b.end_epoch > 0, k.at + {_LEFT.format(0)} * {_EPOCH_MS}, null)",
             "when it is over at the latest"),
        count("end_epoch", "b.end_epoch", "the Walrus epoch with whose begin its storage is over"),
        count("epochs_left", f"iif(b.end_epoch > 0, {_LEFT.format(0)}, 0)",
              "epochs from the one that the last plan or adoption saw to the end"),
        count("size", "b.size", "bytes"),
        flag("deletable", "b.deletable", "whether it can be deleted before its end"),
        count("files", "p.files", "contents that it holds"),
        number("current_files", "coalesce(c.files, 0)", "files of sites' newest versions whose content it holds"),
        amount("paid_frost", "json_extract(o.outcome, '$.cost_frost')", "what it cost, in FROST"),
    ),
    "o.deployment",
    "b.rowid",
)  # fmt: skip

_SIZES = f"""(select iif(count(*) = count(size), sum(size), null) from (
    select {SIZE} size from json_each(v.manifest, '$.resources') r))"""  # noqa: S608
_HOLDING = """(select group_concat(blob_id || ' ' || files, ', ') from (
    select json_extract(value, '$.blob_id') blob_id, count(*) files
    from json_each(v.manifest, '$.resources') group by 1))"""

VERSIONS = Schema(
    "versions",
    "one complete published state of a site",
    "versions",
    """(select *, rowid place, lead(created_ms) over (partition by chain, site_id order by n) until from versions) v
    left join deployments d on d.id = v.deployment
    left join (select deployment, count(*) files, sum(size) bytes from entries where :mine group by deployment) f
        on f.deployment = v.deployment and d.verb = 'deploy'""",
    (
        text("site_id", "v.site_id", "object id of the site"),
        number("version", "v.n", "its number, from 1"),
        text("site_name", "coalesce(d.site_name, json_extract(v.manifest, '$.name'))", "the site's name"),
        category(
            "network",
            "coalesce(d.network, (select network from deployments where chain = v.chain limit 1))",
            "the network's name",
            NETWORKS,
        ),
        text("chain", "v.chain", "the chain's id"),
        text("deployment", "v.deployment", "the deployment that published it"),
        category("verb", "d.verb", "what published it", VERBS),
        time("start", "v.created_ms", "when it was published"),
        time("end", "v.until", "when the next one was; missing for the newest"),
        lasted(),
        text("message", "nullif(v.message, '')", "what the user said of it"),
        text("commit", "nullif(v.commit_id, '')", "the commit that it was made from"),
        text("tags", "(select group_concat(value, ', ') from json_each(v.tags))", "its tags, with commas between"),
        flag("pinned", "coalesce(v.pinned, 0)", "whether cleanup spares it"),
        count("files", "coalesce(f.files, (select count(*) from json_each(v.manifest, '$.resources')))", "files"),
        count("bytes", f"coalesce(f.bytes, {_SIZES})", "bytes of these; missing where not all are known here"),
        text("blobs", f"iif(v.until is null, {_HOLDING}, null)",
             "of the newest version: the blobs that hold its files, each as `id files`, with commas between"),
        text("digest", "v.digest", "digest of the Site object"),
    ),
    "v.deployment",
    "v.place",
)  # fmt: skip
