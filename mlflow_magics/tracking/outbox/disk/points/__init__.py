"""Points on disk: fixed records in mapped segments."""
