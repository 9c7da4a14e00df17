"""From play to preferences: observations, their captions, a language model's judgements."""
