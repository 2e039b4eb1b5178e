"""Comparisons that anyone can repeat: ``python -m benchmarks``. No figure is a test, and the product needs none of it."""
