"""Trains one recurrent policy for all skills at once: rollouts, advantages, PPO."""
