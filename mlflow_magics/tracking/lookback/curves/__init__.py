"""A metric as a curve: of an open run, out of the outbox; of any run, out of a store."""
