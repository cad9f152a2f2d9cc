"""Read a roster file into the rows of a job."""
