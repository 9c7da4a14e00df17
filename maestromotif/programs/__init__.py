"""Programs over skills: what they may read, how they are checked, how they run."""
