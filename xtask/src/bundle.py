"""Packs the files of a folder into a zip archive, with their permissions, and without entries for folders.

usage: bundle.py FOLDER ARCHIVE
"""

import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

folder = Path(sys.argv[1])
with ZipFile(sys.argv[2], 'w', ZIP_DEFLATED) as archive:
    for file in sorted(folder.rglob('*')):
        if file.is_file():
            archive.write(file, file.relative_to(folder))
