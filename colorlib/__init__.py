"""A reproducible companion to Kiani, Hemmatpour & Rastgoo (2021).

Importing the package costs nothing: each module is imported where it is used.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("colorlib")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"
