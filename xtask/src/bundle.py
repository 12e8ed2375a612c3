"""Packs the files of a folder, the first argument, into a zip archive, the second, with their permissions.

It has no entries for folders: `mcpb unpack` fails on these.
"""

import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

folder = Path(sys.argv[1])
with ZipFile(sys.argv[2], 'w', ZIP_DEFLATED) as archive:
    for file in sorted(folder.rglob('*')):
        if file.is_file():
            archive.write(file, file.relative_to(folder))
