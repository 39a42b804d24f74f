"""Finds, compares, browses and loads runs that are over."""
