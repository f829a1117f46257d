"""The version of Shears: of the package, the command and the change log."""

VERSION = "1.1.0"
