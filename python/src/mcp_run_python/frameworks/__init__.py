"""Sandboxes for agents: a module for each framework, which has to be installed."""
