"""Read rosters in CSV: encoding, delimiter, rows."""
