"""What is wrong with a configuration, and where it was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. Never holds a value from the configuration: any of them may be a secret in the wrong place."""

    where: str  # file:line:column, or the environment variable, or the option
    path: str  # as in upstreams.openai.base_url; empty where the place is not a key
    message: str  # what was expected and how to mend it

    def __str__(self) -> str:
        return f"{self.where} {self.path}: {self.message}" if self.path else f"{self.where}: {self.message}"


class SettingsError(Exception):
    """The configuration cannot be used; `problems` holds everything that was found, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
