"""Images in, findings out: reading, quality, severity and structures of one radiograph."""
