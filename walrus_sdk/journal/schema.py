"""The tables, as ordered migrations; ``user_version`` says how many have run."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from walrus_sdk.errors import StateError

__all__ = ["COLUMNS", "KEYS", "MIGRATIONS", "VERSION", "check_version", "migrate"]

_FIRST = """
create table meta (key text primary key, value text) strict;
create table sites (
    chain text not null, owner text not null, name text not null, object_id text, deployment text, created_ms integer,
    primary key (chain, owner, name)) strict;
create table deployments (
    id text primary key, verb text, status text, chain text, network text, owner text, site_name text, site_id text,
    folder text, plan_digest text, request_digest text, message text, commit_id text, created_ms integer,
    updated_ms integer, finished_ms integer, version integer, url text, can_resume integer, reason text,
    result text) strict;
create index deployments_by_request on deployments (request_digest);
create table incarnations (
    deployment text not null, n integer not null, pid integer, host text, boot_id text, started_ms integer,
    ended_ms integer, primary key (deployment, n)) strict;
create table requests (
    deployment text not null, kind text not null, created_ms integer, data text,
    primary key (deployment, kind)) strict;
create table plans (digest text primary key, request_digest text, json text) strict;
create table entries (
    deployment text not null, path text not null, size integer, sha256 text, operation text, state text,
    primary key (deployment, path)) strict;
create table operations (
    chain text not null, kind text not null, name text not null, deployment text, operation text, state text,
    attempts integer, reserved_frost integer, reserved_mist integer, released_wall_ms integer, released_boot_s real,
    boot_id text, lost_wall_ms integer, lost_boot_s real, facts text, outcome text, error text,
    primary key (chain, kind, name)) strict;
create index operations_by_deployment on operations (deployment, operation);
create table attempts (
    deployment text not null, operation text not null, n integer not null, kind text, name text, started_ms integer,
    finished_ms integer, outcome text, code text, endpoint text, primary key (deployment, operation, n)) strict;
create table transactions (
    chain text not null, digest text not null, deployment text, step integer, bytes blob, signatures text,
    expires integer, expected_id text, state text, primary key (chain, digest)) strict;
create index transactions_by_deployment on transactions (deployment, step);
create table blobs (
    chain text not null, blob_id text not null, object_id text, end_epoch integer, size integer, deletable integer,
    primary key (chain, blob_id)) strict;
create table patches (
    chain text not null, sha256 text not null, blob_id text not null, patch_id text not null, size integer,
    primary key (chain, sha256, blob_id, patch_id)) strict;
create table versions (
    chain text not null, site_id text not null, n integer not null, deployment text, created_ms integer,
    message text, commit_id text, tags text, manifest text, digest text, primary key (chain, site_id, n)) strict;
create table events (
    deployment text not null, n integer not null, incarnation integer not null, wall_ms integer not null,
    monotonic_s real not null, type text not null, data text not null, primary key (deployment, n)) strict;
create table checkpoints (
    deployment text not null, n integer not null, moment text, file text, created_ms integer, event integer,
    primary key (deployment, n)) strict;
create table samples (deployment text not null, wall_ms integer not null, data text) strict;
create index samples_by_deployment on samples (deployment, wall_ms);
"""

_SECOND = """
create table coins (
    chain text not null, coin text not null, version integer, deployment text, digest text,
    primary key (chain, coin)) strict;
create table locks (
    chain text not null, site_id text not null, reason text, since_ms integer, deployment text,
    primary key (chain, site_id)) strict;
create table heights (
    chain text not null, site_id text not null, version integer, primary key (chain, site_id)) strict;
alter table versions add column pinned integer;
alter table attempts add column frost integer;
"""

_THIRD = """
create table alerts (
    n integer not null, rule text, kind text, subject text, severity text, deployment text,
    fired_ms integer, cleared_ms integer, value real, threshold real, unit text, message text, clearing text,
    primary key (n)) strict;
create table deliveries (
    sink text not null, alert integer not null, state text not null, created_ms integer, attempts integer,
    ended_ms integer, outcome text, primary key (sink, alert, state)) strict;
"""

_FOURTH = """
drop index transactions_by_deployment;
create index transactions_in_brief on transactions (deployment, step, digest, state, expires, expected_id);
"""
# Where a deployment stands is read before and after each of its transactions; without their bytes, which lie in the
# row before the state, that takes a quarter of the time.

_FIFTH = """
create table patches_by_blob (
    chain text not null, sha256 text not null, blob_id text not null, patch_id text not null, size integer,
    primary key (chain, blob_id, sha256, patch_id)) strict;
insert into patches_by_blob select chain, sha256, blob_id, patch_id, size from patches order by rowid;
drop table patches;
alter table patches_by_blob rename to patches;
"""
# The patches of a quilt are written together: under keys that begin with a hash of content they lie all over the index,
# and a commit of 600 rewrote 500 pages of it. Nobody looks a patch up by its content alone.

_SIXTH = """
update transactions set signatures = null where state in ('final', 'failed', 'dead');
update transactions set bytes = null where state in ('final', 'failed', 'dead')
    and deployment not in (select id from deployments where verb = 'cleanup');
"""
# What is over is not kept signed, and its state changes without its bytes being written once more. What a cleanup
# deleted is read from the bytes of its transactions.

MIGRATIONS: tuple[str, ...] = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH)
"""Each runs once, in order; one that was published is never changed."""

VERSION = len(MIGRATIONS)


def _read_columns() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return each table's columns and primary key, as SQLite understands the migrations."""
    with sqlite3.connect(":memory:") as db:
        for script in MIGRATIONS:
            db.executescript(script)
        names = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")]
        rows = {name: db.execute(f"pragma table_info({name})").fetchall() for name in names}
    db.close()
    columns = {name: tuple(row[1] for row in info) for name, info in rows.items()}
    keys = {name: tuple(row[1] for row in sorted(info, key=lambda r: r[5]) if row[5]) for name, info in rows.items()}
    return columns, keys


_columns, _keys = _read_columns()
COLUMNS: Mapping[str, tuple[str, ...]] = _columns
"""The columns of each table."""
KEYS: Mapping[str, tuple[str, ...]] = _keys
"""The primary key of each table; empty for ``samples``, whose rows are only added."""


def check_version(db: sqlite3.Connection) -> int:
    """Return how many migrations have run. Raises `StateError` ``state_newer`` when that is more than there are."""
    found: int = db.execute("pragma user_version").fetchone()[0]
    if found > VERSION:
        raise StateError("state_newer", f"the journal has schema {found}, this program knows {VERSION}", found=found)
    return found


def migrate(db: sqlite3.Connection) -> None:
    """Bring a journal to the newest schema, one transaction a step. Raises `StateError` ``state_newer``."""
    for number in range(check_version(db), VERSION):
        db.execute("begin immediate")
        try:
            if db.execute("pragma user_version").fetchone()[0] <= number:  # another process may have been faster
                for statement in MIGRATIONS[number].split(";"):
                    if statement.strip():
                        db.execute(statement)
                db.execute(f"pragma user_version = {number + 1}")
            db.execute("commit")
        except BaseException:
            if db.in_transaction:
                db.execute("rollback")
            raise
