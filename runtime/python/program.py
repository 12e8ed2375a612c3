"""Evaluates a program as Pyodide's `eval_code_async` does, in a fraction of its time."""

import ast
import linecache
from inspect import CO_COROUTINE
from textwrap import dedent
from types import CodeType

# A program may await at its top level.
_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


async def evaluate(source: str, namespace: dict[str, object], filename: str) -> object:
    """Runs a program; returns the value of its last statement, if that is an expression and no semicolon follows it.

    A program that is indented as a whole is taken as if it were not.
    """
    if source.lstrip('\r\n')[:1] in (' ', '\t'):
        source = dedent(source)
    parts = _compile(source, filename)
    # For tracebacks, which read the source only when they need it.
    linecache.cache[filename] = (lambda: source,)  # type: ignore[assignment]
    value = None
    for part in parts:
        value = eval(part, namespace)  # noqa: S307 - that is what it is for
        if part.co_flags & CO_COROUTINE:
            value = await value  # type: ignore[misc]
    return value


def _compile(source: str, filename: str) -> list[CodeType]:
    """Compiles all statements; the last one on its own, if it is an expression whose value is wanted."""
    tree = compile(source, filename, 'exec', _FLAGS | ast.PyCF_ONLY_AST, dont_inherit=True)
    body = tree.body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) and not _ends_in_semicolon(source, body[-1]) else None
    parts: list[ast.Module | ast.Expression] = [tree] if body or not last else []
    if last:
        parts.append(ast.Expression(last.value))
    return [
        compile(part, filename, 'eval' if isinstance(part, ast.Expression) else 'exec', _FLAGS, dont_inherit=True)
        for part in parts
    ]


def _ends_in_semicolon(source: str, last: ast.Expr) -> bool:
    """Whether a semicolon follows the last statement: nothing but white space and comments may come after it."""
    # In bytes: columns are counted in them, and their only line ends are those of Python.
    lines = source.encode(errors='surrogatepass').splitlines(keepends=True)[(last.end_lineno or 1) - 1 :]
    return b''.join(lines)[last.end_col_offset or 0 :].lstrip(b' \t\f\\\r\n').startswith(b';')
