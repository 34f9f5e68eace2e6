"""The version of the product, read by the build, the command line and the build-info metric."""

from typing import Final

__version__: Final = "0.1.0.dev0"
