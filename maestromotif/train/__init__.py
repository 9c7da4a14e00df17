"""One recurrent policy learns all skills at once: rollouts, advantages, PPO."""
