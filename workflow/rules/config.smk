# What is wrong with the configuration file as a file is said before Snakemake reads it, which would end in a traceback.

from snakemake.exceptions import WorkflowError

from prunescope.config.files import CONFIG_FILE, read_config_file
from prunescope.errors import ConfigError

try:
    if CONFIG_FILE.exists():
        read_config_file(CONFIG_FILE)
except ConfigError as error:
    raise WorkflowError(str(error))
