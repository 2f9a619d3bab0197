"""Load single modules of an installed package without running the package's own `__init__`, as copies that nobody else sees.

For presidio-analyzer: importing it loads spaCy, torch and transformers (7 s of processor time), and its regular expressions need none
of them. The modules are executed unchanged; only what they import from their own package is answered from here. `sys.modules` is not
touched, so an application that uses the package itself gets its own, whole one. Deliberately supports absolute imports alone: whoever
calls this falls back to the ordinary import when a new release is laid out differently.
"""

import builtins
import importlib.util
from collections.abc import Mapping, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType


class PrivateCopy:
    """Modules of one package, each loaded once."""

    def __init__(self, package: str, core: Sequence[str], stand_ins: Mapping[str, Mapping[str, object]]) -> None:
        """`core` are the modules whose classes the package itself offers; `stand_ins` are modules that are not loaded, with what is
        imported from them. Raise `ImportError` when the package is not installed or has no such modules.
        """
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ImportError(f"{package} is not installed", name=package)
        self._package = package
        self.root = Path(spec.submodule_search_locations[0])
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._loaded: dict[str, ModuleType] = {package: ModuleType(package)}
        for name, content in stand_ins.items():
            stand_in = self._loaded[f"{package}.{name}"] = ModuleType(f"{package}.{name}")
            vars(stand_in).update(content)
        for name in core:
            offered = vars(self.load(name))
            vars(self._loaded[package]).update({key: value for key, value in offered.items() if isinstance(value, type)})

    def load(self, name: str) -> ModuleType:
        """Return the module `package.name`; raise `ImportError` when it is not there."""
        full = f"{self._package}.{name}"
        if full in self._loaded:
            return self._loaded[full]
        path = self.root.joinpath(*name.split(".")).with_suffix(".py")
        if not path.is_file():
            raise ImportError(f"{self._package} has no module {name}", name=full, path=str(path))
        code = SourceFileLoader(full, str(path)).get_code(full)  # from the byte-code cache where there is one
        if code is None:
            raise ImportError(f"{full} has no code", name=full, path=str(path))
        module = ModuleType(full)
        vars(module).update({"__builtins__": self._builtins, "__file__": str(path)})
        exec(code, vars(module))  # as an import does
        self._loaded[full] = module  # only once it is whole
        return module

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        if level:
            raise ImportError(f"{name} is imported relatively, which a private copy does not support", name=name)
        if name == self._package:
            return self._loaded[self._package]
        if name.startswith(f"{self._package}."):
            return self.load(name.removeprefix(f"{self._package}."))
        return builtins.__import__(name, globals, locals, fromlist, level)
