"""The configuration: one TOML file to frozen dataclasses, validated whole before anything starts.

The options of modules come from the modules (their ``Options``); the limits are in :mod:`xmppd.core.limits`.
Every problem is one line that names the file, the key and the remedy, and all of them come at once.
"""

from xmppd.config.listening import explain_listen_error
from xmppd.config.load import (
    ConfigError,
    default_config,
    load,
    module_options,
    override,
    read_table,
    socket_of,
    user_name,
)
from xmppd.config.model import FILE_NAME, Config, Contact, DomainConfig, Endpoint, Listen, Server
from xmppd.core.limits import Limits
from xmppd.core.options import OptionsError, Problem, validate_options

__all__ = [
    "FILE_NAME",
    "Config",
    "ConfigError",
    "Contact",
    "DomainConfig",
    "Endpoint",
    "Limits",
    "Listen",
    "OptionsError",
    "Problem",
    "Server",
    "default_config",
    "explain_listen_error",
    "load",
    "module_options",
    "override",
    "read_table",
    "socket_of",
    "user_name",
    "validate_options",
]
