"""The files of an experiment, each read and written through its class."""
