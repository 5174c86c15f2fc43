"""`njit` with compiled code kept in xbind's cache folder, for every numba kernel.

numba's own `cache=True` stops with a traceback where no cache folder can be written and where a
file of its cache is damaged, and it only looks at a kernel's own source file. Here compiled code is
compared with a hash before it is read, depends on all sources in the kernel's folder and in the
folders beside it, and is compiled again where it is damaged.
"""

import hashlib
import pickle
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

from xbind.system.cache import writable_folder


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # noqa: ANN401
    """`numba.njit` with these options, cached across processes.

    With `NUMBA_CACHE_DIR` set, compiled code is kept there.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        dispatcher = numba.njit(**options)(function)
        if not numba.config.DISABLE_JIT:
            dispatcher._cache = _Cache(function)
        return dispatcher

    return decorate


@lru_cache
def kernel_folder() -> Path:
    """Folder of compiled kernels.

    Raises:
        CacheError: nothing can be written here, temporary folders included.
    """
    return writable_folder("numba")


class _Locator(caching._SourceFileBackedLocatorMixin, caching._CacheLocator):
    """Locator of a function's compiled code, with the sources that it depends on."""

    def __init__(self, function: Callable[..., Any], source: str) -> None:
        self._py_file, self._lineno = source, function.__code__.co_firstlineno
        root = Path(numba.config.CACHE_DIR) if numba.config.CACHE_DIR else kernel_folder()
        self._cache_path = str(root / self.get_suitable_cache_subpath(source))

    def get_cache_path(self) -> str:
        return self._cache_path

    def get_source_stamp(self) -> str:
        return _stamp_of(Path(self._py_file).parent)


@lru_cache
def _stamp_of(folder: Path) -> str:
    """SHA-256 of the sources of a folder and of those beside it in its package.

    Kernels are inlined into those of other files, such as `kernels/common` into every operator.
    """
    root = folder.parent if (folder.parent / "__init__.py").exists() else folder
    sha = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        sha.update(hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()


class _Implementation(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012  # numba's name and type


class _File(caching.IndexDataCacheFile):
    """numba's index and data files, each behind its SHA-256; a damaged one counts as missing."""

    def _load_index(self) -> dict[Any, str]:
        content = self._read(self._index_name)
        if content is None or content[:2] != (self._version, self._source_stamp):
            return {}
        overloads: dict[Any, str] = content[2]
        return overloads

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._save_data(self._index_name, (self._version, self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:  # noqa: ANN401
        return self._read(name)

    def _save_data(self, name: str, data: object) -> None:
        content = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(content).digest() + content)

    def _read(self, name: str) -> Any:  # noqa: ANN401
        try:
            content = Path(self._data_path(name)).read_bytes()
        except OSError:
            return None
        digest, content = content[:32], content[32:]
        if hashlib.sha256(content).digest() != digest:
            return None
        try:
            return pickle.loads(content)
        except ImportError:  # the kernel's module cannot be imported by its name, as in a script
            return None


class _Cache(caching.FunctionCache):
    _impl_class = _Implementation
    _cache_file: Any

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        file = self._cache_file
        self._cache_file = _File(file._cache_path, self._impl.filename_base, file._source_stamp)

    def save_overload(self, sig: object, data: object) -> None:
        """Keep compiled code, unless the disk refuses: the code can be used all the same."""
        try:
            super().save_overload(sig, data)
        except OSError:
            self.disable()
