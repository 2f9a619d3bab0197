"""The seal.toml that `init` writes: every setting with its meaning and default, made from `config.py`.

All settings are commented out, so that a later seal-agent may improve a default.
"""

import json
import textwrap

from pydantic import BaseModel

from seal_agent.config import Settings

HEAD = """\
# Settings of this brain. Each is shown with its default; take the "#" before its name away to change it.
# Environment variables win over this file: SEAL_TRAINING__RANK=8 is rank in [training].
"""
WIDTH = 100


def settings_file() -> str:
    """Return the text of a seal.toml that changes nothing and explains everything."""
    return "\n".join([HEAD, *(section(name, field.default) for name, field in Settings.model_fields.items())])


def section(name: str, defaults: BaseModel) -> str:
    about = (type(defaults).__doc__ or "").strip()
    lines = [f"# {about}", f"[{name}]"]
    values = defaults.model_dump(mode="json")  # so that a secret, empty by default, is written as a text
    for key, field in type(defaults).model_fields.items():
        lines += ["", *(f"## {line}" for line in textwrap.wrap(field.description or "", WIDTH))]
        lines.append(f"# {key} = {json.dumps(values[key], ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
