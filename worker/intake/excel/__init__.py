"""Read rosters in workbooks, in a process of their own."""
