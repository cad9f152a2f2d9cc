"""Roster: upload a spreadsheet; everybody on it is registered on the LMS, exactly once.

The walk of one row, module by module:

1. `cli.run` (or `control`, for the page, the API and `submit`) hands the file to `jobs.submission`, which stores it
and opens
   a job in the `ledger`; so do `folders.watch` and `schedules.due`, for drop folders and schedules.
2. `intake.importing` reads it: `intake.roster_file` yields raw rows, `intake.headers` matches the headings,
`intake.rows` turns
   each row into a candidate and a course, or reports everything that is wrong with it.
3. `jobs.planning` cuts the rows into batches; `registration.batch` claims a batch and runs it: a connector of `lms`
calls
   the LMS at the pace of `pace`, and the ledger has the intent of every call before it is sent and its outcome
   before anything depends on it.
4. `jobs.completion` closes the job when every row has its outcome; `reports` writes what happened to every row.

`notifications` reports the end of a background job afterwards. `runtime` runs all this in one process or in Celery
workers, whose tasks are in `tasks`. `docs/architecture.md` has the map, `docs/glossary.md` the words.
"""

__version__ = "0.1.0"
