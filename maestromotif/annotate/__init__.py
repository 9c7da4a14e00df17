"""From observations to preferences: what a language model is asked, and what its answers say."""
