"""The acting side: a policy's inputs and network, skill calls, step rewards. This file imports no JAX."""
