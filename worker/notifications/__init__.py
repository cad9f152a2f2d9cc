"""Messages when a job ends or needs a person: what is due, what it says, and how it gets there.

Nothing here can fail a job: what is told is read from the ledger afterwards, and what cannot be sent waits in the
outbox. No row, no person and no word of an LMS goes into a message.
"""
