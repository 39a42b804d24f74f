"""Numbers on their way into the outbox: whose they are, and in which form."""
