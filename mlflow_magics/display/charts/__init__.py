"""Charts as SVG, which needs no script."""
