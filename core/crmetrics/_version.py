"""The version: of the distribution, of the command and of the caches."""

__version__ = "0.1.0"
