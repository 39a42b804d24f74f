"""Connects to a store, checks it, and sends what dead kernels have left."""
