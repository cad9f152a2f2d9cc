"""Read rosters in workbooks, in a separate process."""
