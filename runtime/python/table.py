"""A DataFrame or a Series of pandas as a Markdown table."""

import sys
from collections.abc import Sequence
from typing import Any

# Characters of a cell; of a longer one, the beginning is kept.
_CELL = 60

# Significant digits of a float.
_DIGITS = 10

# Stands for rows and columns that are left out.
_MORE = '…'


def markdown(value: Any, most_rows: int, most_columns: int) -> str | None:
    """The table, with its shape; of a larger one, the first and last rows and columns. None for all other values."""
    pandas = sys.modules.get('pandas')
    if pandas is None:
        return None
    if isinstance(value, pandas.Series):
        value = value.to_frame('' if value.name is None else value.name)
    elif not isinstance(value, pandas.DataFrame):
        return None
    height, width = value.shape
    rows, columns = _kept(height, most_rows), _kept(width, most_columns)
    shown = [None if at is None else value.iloc[:, at] for at in columns]
    places = [at for at in rows if at is not None]
    head = [_label(value.index.names)]
    marks = ['---']
    cells = [_with_gap([_label(label) for label in value.index[places]], rows)]
    for at, column in zip(columns, shown, strict=True):
        if column is None:
            head.append(_MORE)
            marks.append('---')
            cells.append([_MORE] * len(rows))
            continue
        head.append(_label(value.columns[at]))
        marks.append('---:' if getattr(column.dtype, 'kind', 'O') in 'iufc' else '---')
        cells.append(_with_gap([_cell(cell) for cell in column.iloc[places].tolist()], rows))
    lines = [head, marks, *zip(*cells, strict=True)]
    shape = f'{height} row{"s" * (height != 1)} x {width} column{"s" * (width != 1)}'
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines) + f'\n\n{shape}'


def _kept(count: int, most: int) -> list[int | None]:
    """The indexes that are shown; `None` where some are left out."""
    if count <= most:
        return [*range(count)]
    first = (most + 1) // 2
    return [*range(first), None, *range(count - (most - first), count)]


def _with_gap(cells: list[str], rows: Sequence[int | None]) -> list[str]:
    given = iter(cells)
    return [_MORE if at is None else next(given) for at in rows]


def _label(label: object) -> str:
    """The label of a row or a column, with all of its levels."""
    if isinstance(label, tuple | list) or type(label).__name__ == 'FrozenList':
        return ' / '.join(_label(part) for part in label)  # type: ignore[attr-defined]
    return '' if label is None else _cell(label)


def _cell(cell: object) -> str:
    if isinstance(cell, float):
        text = 'NaN' if cell != cell else f'{cell:.{_DIGITS}g}'
        text += '.0' * text.lstrip('-').isdigit()
    else:
        text = str(cell)
    if len(text) > _CELL:
        text = f'{text[: _CELL - 1]}{_MORE}'
    return ' '.join(text.replace('\\', '\\\\').replace('|', '\\|').splitlines())
