"""The standard library's archive, in which some modules have bytecode beside their source."""

from zipimport import zipimporter

_get_filename = zipimporter.get_filename


def name_sources() -> None:
    """Gives modules of archives the `__file__` of their source even if they have bytecode, as modules of files have."""
    zipimporter.get_filename = _source_of


def _source_of(importer: zipimporter, module: str) -> str:
    # Python's own method loads and compiles the module to tell, and then once more to run it.
    path = importer.prefix + module.rpartition('.')[2] + ('/__init__.py' if importer.is_package(module) else '.py')
    if entry := importer._get_files().get(path):
        return entry[0]
    return _get_filename(importer, module)
