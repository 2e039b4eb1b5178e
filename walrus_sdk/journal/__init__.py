"""The durable state of all deployments: one SQLite file, events and rows, ownership, checkpoints.

Lives here: the file and its safety, the schema and its migrations, the one writer, readers, locks and fences,
checkpoint files, the cache that may be deleted; the mark beside the file, its check, its backup. It knows rows and
events, not their meaning; only the check folds the states of effects.
Must not live here: what a status, an effect or a plan is; anything that decides.
"""
