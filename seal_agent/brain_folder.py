"""The brain directory from outside: whether there is a brain in it, and its settings file.

Deliberately opens no ledger, so that a folder can be looked at while another process owns it.
"""

from pathlib import Path

from seal_agent.config import Settings
from seal_agent.errors import SettingsError
from seal_agent.ledger.ledger import DATABASE

SETTINGS_FILE = "seal.toml"


def is_brain(folder: Path) -> bool:
    return (folder / DATABASE).exists()


def read_settings(folder: Path) -> Settings:
    """Return the settings of the brain in `folder`; raise `SettingsError` naming the key that is wrong."""
    file = folder / SETTINGS_FILE
    if file.exists() and not file.is_file():
        raise SettingsError(f"{file} is not a file; remove it, or run seal-agent init in another folder.")
    try:
        return Settings.load(file)
    except OSError as error:
        raise SettingsError(f"{file} can't be read ({error}); make it a readable file, or remove it.") from error
