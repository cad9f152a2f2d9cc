"""One file per LMS that Roster has itself; other packages add connectors by entry points."""
