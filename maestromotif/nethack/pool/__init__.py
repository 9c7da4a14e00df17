"""Many games stepped together by worker processes."""
