"""What the panel and its tabs are made of: facts of a run, looks, controls, a worker that asks the store."""
