"""What the notebook's past and its functions say: where a value comes from, how a cell failed, what is restored."""
