"""Results as plain data: cell, row, record, journal, fingerprint, thumbnail."""
