"""The version of this writer and reader."""

VERSION = "0.1.0"
