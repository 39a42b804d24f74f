"""One session per shell: what is connected and open, how a run begins, is recorded and is sent."""
