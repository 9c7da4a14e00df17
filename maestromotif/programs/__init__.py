"""Programs over skills: what they can read, how they are checked, and how they run."""
