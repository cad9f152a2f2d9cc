"""One file per LMS: this listing is the list of supported systems."""
