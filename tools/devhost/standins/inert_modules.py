"""Import stand-ins for packages that do not import in a development host.

Loaded by a ``.pth`` file of that environment alone, so it must stay small and free of imports that cost.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType


def install(*packages: str) -> None:
    """Makes each of ``packages``, every submodule of theirs and every name in those importable.

    A package that asks before it imports (transformers does) still gets the truth: they are not there.
    """
    sys.meta_path.append(_Finder(packages))
    really_find = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name.partition(".")[0] in packages else really_find(name, package)

    importlib.util.find_spec = find_spec


class _Finder(Loader):
    def __init__(self, packages: tuple[str, ...]) -> None:
        self.packages = packages

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self.packages:
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _InertModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = __file__


class _InertModule(ModuleType):
    """Lower-case names are submodules or functions (the same thing here), others are classes."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if name[0].islower():
            return importlib.import_module(f"{self.__name__}.{name}")
        return type(name, (_InertClass,), {"__module__": self.__name__})

    def __call__(self, *args: object, **kwargs: object) -> None:
        raise NotImplementedError(_why(self.__name__))


class _InertClass:
    def __init__(self, *args: object, **kwargs: object) -> None:
        raise NotImplementedError(_why(f"{type(self).__module__}.{type(self).__name__}"))


def _why(name: str) -> str:
    return f"{name} is a stand-in of the development host: the real package does not import beside this torch"
