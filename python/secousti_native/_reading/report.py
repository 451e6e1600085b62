"""What is wrong with a file, in words, and whether that ends the reading."""

from __future__ import annotations

from typing import Literal, TypeAlias

Damaged: TypeAlias = Literal["error", "keep"]


class Report:
    """Collects notes on the file ``name``; damage is a ``ValueError`` unless ``damaged`` is "keep"."""

    def __init__(self, name: str, damaged: Damaged) -> None:
        if damaged not in ("error", "keep"):
            raise ValueError(f"damaged: expected 'error' or 'keep', got {damaged!r}")
        self.name, self.keep = name, damaged == "keep"
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Something that the user should know, once."""
        if text not in self.notes:
            self.notes.append(text)

    def damage(self, text: str) -> None:
        """``ValueError``, or a note where damaged files are kept."""
        if not self.keep:
            raise self.error(
                f"damaged: {text} (damaged='keep', on the command line --damaged, takes what is there)"
            ) from None
        self.note(f"damaged: {text}")

    def error(self, text: str) -> ValueError:
        """A ``ValueError`` that names the file."""
        return ValueError(f"{self.name}: {text}")
