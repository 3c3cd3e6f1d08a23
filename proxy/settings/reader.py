"""Finds the configuration, reads it, lays the environment over it, and checks the whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from proxy.settings.document import Document
from proxy.settings.environment import add_clients, add_upstreams
from proxy.settings.explain import in_order, problems_of
from proxy.settings.model import Settings
from proxy.settings.overrides import CONFIG, apply_environment, apply_options
from proxy.settings.problems import SettingsError
from proxy.settings.secret_files import read_secret_files
from proxy.settings.yaml_file import read_file

DEFAULT_FILE: Final = "config/proxy.yaml"
ENVIRONMENT: Final = "environment"

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def load(config: str | None, environ: Mapping[str, str], *, options: Mapping[str, str] = _NOTHING) -> Settings:
    """Return the settings of the file *config*, of LLM_PROXY_CONFIG, of config/proxy.yaml, or of the environment alone.

    A file that names neither upstreams nor models gets both from the environment. *options* are top-level values from the
    command line. Raises SettingsError with every problem that was found.
    """
    document = _document(config, environ)
    if not document.data.get("upstreams") and not document.data.get("models"):
        add_upstreams(document, environ)
    add_clients(document, environ)
    apply_environment(document, environ)
    apply_options(document, options)
    read_secret_files(document)
    return _checked(document)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file, for editors."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "llm-stream-proxy configuration"}


def _document(config: str | None, environ: Mapping[str, str]) -> Document:
    name = config or environ.get(CONFIG) or (DEFAULT_FILE if Path(DEFAULT_FILE).is_file() else None)
    return Document(source=ENVIRONMENT) if name is None else read_file(name, environ)


def _checked(document: Document) -> Settings:
    problems = [*document.broken.values(), *document.strays]
    try:
        settings = Settings.model_validate(document.data, context={"source": document.source})
    except ValidationError as exc:
        problems += problems_of(exc, document)
        # The cause would repeat the values; among them may be secrets.
        raise SettingsError(in_order(problems)) from None
    if problems:
        raise SettingsError(in_order(problems))
    return settings
