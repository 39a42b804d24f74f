"""Sends the writes in order and in batches, and says what a failure means."""
