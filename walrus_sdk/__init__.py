"""Publish static sites to Walrus and Sui."""
