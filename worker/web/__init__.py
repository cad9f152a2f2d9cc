"""The web door: health and metrics so far; the page and the API follow."""
