"""A digest of the package's own code that a module depends on, read without importing any of it.

Modules are compared as syntax trees, so comments, docstrings and layout do not count.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

PACKAGE = __name__.partition(".")[0]
"""Only its modules are followed; other distributions count by their version."""


def modules_reached(roots: Sequence[str]) -> dict[str, Path]:
    """The source files of modules and of everything of the package that they import.

    Imports inside functions and under `TYPE_CHECKING` count, and so do the packages above a
    module. A module that is imported by a computed name is not found.

    Args:
        roots: full names of modules, such as `xbind.networks.build`.

    Returns:
        Full name → file, sorted by name.

    Raises:
        ModuleNotFoundError: there is no such root.
    """
    found: dict[str, Path] = {}
    wanted = {name for root in roots for name in _with_parents(root)}
    for root in roots:
        if _source_of(root) is None:
            raise ModuleNotFoundError(f"No module named {root!r}", name=root)
    while wanted:
        name = wanted.pop()
        path = _source_of(name)
        if path is not None:
            found[name] = path
            wanted |= _read(path)[1] - found.keys()
    return dict(sorted(found.items()))


def digest_of(modules: Mapping[str, Path]) -> str:
    """SHA-256 of the syntax trees of modules, without docstrings."""
    digest = hashlib.sha256()
    for name, path in sorted(modules.items()):
        digest.update(f"{name}\n{_read(path)[0]}\n".encode())
    return digest.hexdigest()


@cache  # reading all modules takes a tenth of a second
def _read(path: Path) -> tuple[str, frozenset[str]]:
    """A file's syntax tree without docstrings, as text, and what it may import of the package.

    `from a import b` counts as a and as a.b: which of them is a module is not known here.
    """
    tree = ast.parse(path.read_bytes())
    names: set[str] = set()
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        match node:
            case _ if id(node) in for_types:  # never run
                pass
            case ast.Import():
                names.update(alias.name for alias in node.names)
            case ast.ImportFrom(module=str(module)):
                names.update(f"{module}.{alias.name}" for alias in node.names)
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                node.body = [line for line in node.body if not _is_docstring(line)]
    return ast.dump(tree), frozenset(part for name in names for part in _with_parents(name))


def _is_docstring(statement: ast.stmt) -> bool:
    """Returns True for a statement that is only a string, such as a docstring."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _with_parents(name: str) -> Iterator[str]:
    """`a`, `a.b` and `a.b.c` for `a.b.c`, if a is the package."""
    parts = name.split(".")
    if parts[0] == PACKAGE:
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _source_of(name: str) -> Path | None:
    """The file of a module; None for what is no module, such as a function's name.

    Only the package itself is imported: `find_spec` of a deeper module would import its parents.
    """
    package, *rest = name.split(".")
    spec = importlib.util.find_spec(".".join([package, *rest[:1]]))
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin)
    for part in rest[1:]:
        if path.name != "__init__.py":
            return None
        inner = path.parent / part
        path = inner / "__init__.py" if inner.is_dir() else inner.with_suffix(".py")
        if not path.is_file():
            return None
    return path
