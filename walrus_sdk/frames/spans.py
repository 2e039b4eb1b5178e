"""The frame `phases`: what an owner of a deployment was busy with, from the deployment's events.

A stretch begins with an event that says so, and ends with the next one; where the next one is a later owner's, or there
is none, it ends with the last sign of its own. Verification begins with the owner's last transaction that was done; a
cleanup verifies nothing.
"""

from __future__ import annotations

from walrus_sdk.frames.schema import Schema, category, duration, number, text, time

__all__ = ["PHASES", "SPANS"]

PHASES = ("prepare", "store", "chain", "verify", "finish")
"""What a deployment is busy with, by its events."""

_SOURCE = """(
    select deployment, incarnation, phase, start,
        case when next_n is null or next_incarnation <> incarnation then last_ms else next_ms end finish
    from (
        select m.*, l.last_ms, lead(m.n) over w next_n, lead(m.incarnation) over w next_incarnation,
            lead(m.start) over w next_ms
        from (
            select deployment, n, incarnation, wall_ms start,
                case type
                    when 'deployment.planned' then 'prepare' when 'deployment.imported' then 'prepare'
                    when 'effect.done' then iif(
                        (select verb from deployments d where d.id = e.deployment) = 'cleanup', 'finish', 'verify')
                    when 'verified' then 'finish'
                    when 'deployment.status' then
                        case json_extract(data, '$.to') when 'uploading' then 'store' when 'processing' then 'chain' end
                    else (
                        select case json_extract(s.data, '$.to') when 'uploading' then 'store' when 'processing'
                            then 'chain' else 'prepare' end
                        from events s where s.deployment = e.deployment and s.n < e.n and s.type = 'deployment.status'
                            and json_extract(s.data, '$.to') <> 'failed' order by s.n desc limit 1)
                end phase
            from events e
            where :mine and (
                type in ('deployment.planned', 'deployment.imported', 'deployment.status', 'deployment.taken_up',
                    'verified')
                or (type = 'effect.done' and (deployment, incarnation, n) in (
                    select deployment, incarnation, max(n) from events
                    where type = 'effect.done' and json_extract(data, '$.kind') = 'transaction' and :mine
                    group by deployment, incarnation)))
        ) m
        join (select deployment, incarnation, max(wall_ms) last_ms from events where :mine
            group by deployment, incarnation) l on l.deployment = m.deployment and l.incarnation = m.incarnation
        window w as (partition by m.deployment order by m.n))
    where phase is not null) s"""

SPANS = Schema(
    "phases",
    "one stretch of time that an owner of a deployment spent on one thing",
    "events",
    _SOURCE,
    (
        text("deployment", "s.deployment", "the deployment's id"),
        number("owner", "s.incarnation", "which of its owners, from 1"),
        category("phase", "s.phase", "what it was busy with", PHASES),
        time("start", "s.start", "when it began"),
        time("end", "s.finish", "when it ended, or the last sign of it"),
        duration("duration", "", "from start to end"),
    ),
    "s.deployment",
    "s.start, s.deployment",
)
