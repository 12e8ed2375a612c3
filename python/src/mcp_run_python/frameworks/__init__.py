"""Adapters for agent frameworks: one module for each. The framework itself has to be installed."""
