"""Episodes that are kept in few bytes, played again bit for bit, and shown as a page or an asciicast."""
