"""Figures and spans in the forms that other tools read; each module loads its library when it is used.

Lives here: one module a form (`prometheus`, `otel`).
Must not live here: what is counted (`watch.metrics`), and reading the journal (`watch.metering`).
"""
