"""Comparisons that anyone can repeat: ``python -m benchmarks``. No figure is a test; the product needs none of it."""
