"""The search: settings that keep a model closest to the unpruned one."""
