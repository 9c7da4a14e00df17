"""What acts: a policy's inputs and network, skills in time, the reward of a step. Imports no JAX here."""
