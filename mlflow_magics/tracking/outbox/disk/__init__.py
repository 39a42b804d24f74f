"""Where the writes lie until they are sent: journal, points, files."""
