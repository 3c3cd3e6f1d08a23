"""The places where the AWS SDK looks for credentials, under a test's control: variables, files, a role's and a container's service."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from botocore.utils import ContainerMetadataFetcher  # type: ignore[import-untyped]

from tests.support.steps import Reply, answer
from tests.support.wire import WITHIN

ACCESS: Final = "AKIDEXAMPLE"
SECRET: Final = "s3cr3t/wJalrXUtnFEMI+K7MDENG"
TOKEN: Final = "s3cr3t-session-token=="
ROLE: Final = "arn:aws:iam::123456789012:role/models"


class Aws:
    """A machine on which nothing of AWS is configured, until a test does so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self.config = folder / "config"
        self.credentials = folder / "credentials"
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        self.set(
            AWS_EC2_METADATA_DISABLED="true",
            AWS_CONFIG_FILE=str(self.config),
            AWS_SHARED_CREDENTIALS_FILE=str(self.credentials),
            HOME=str(folder),
        )

    def set(self, **variables: str) -> None:
        """Set environment variables."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def unset(self, *names: str) -> None:
        """Take environment variables away."""
        for name in names:
            self._monkeypatch.delenv(name)

    def keys(self, *, region: str = "us-east-1", token: str = "") -> None:
        """Put keys, and a region, into the environment."""
        self.set(AWS_ACCESS_KEY_ID=ACCESS, AWS_SECRET_ACCESS_KEY=SECRET, AWS_DEFAULT_REGION=region)
        if token:
            self.set(AWS_SESSION_TOKEN=token)

    def container(self, url: str) -> None:
        """Have a container's service at *url* supply the credentials. The SDK waits for it as long as a test does."""
        self._monkeypatch.setattr(ContainerMetadataFetcher, "TIMEOUT_SECONDS", WITHIN)  # its 2 s end on a busy machine
        self.set(AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{url}/credentials", AWS_DEFAULT_REGION="us-east-1")

    def machine(self, url: str) -> None:
        """Have a machine's metadata service at *url* supply the credentials. The SDK waits for it as long as a test does."""
        self.unset("AWS_EC2_METADATA_DISABLED")
        self.set(
            AWS_EC2_METADATA_SERVICE_ENDPOINT=url, AWS_METADATA_SERVICE_TIMEOUT=str(int(WITHIN)), AWS_DEFAULT_REGION="us-east-1"
        )

    def role(self, sts: str) -> None:
        """Have a profile's role supply the credentials, assumed at *sts* with a user's own keys."""
        self.config.write_text(f"[default]\nregion = eu-west-1\nrole_arn = {ROLE}\nsource_profile = user\n")
        self.credentials.write_text(f"[user]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n")
        self.set(AWS_ENDPOINT_URL_STS=sts)


def expiring(seconds: float) -> str:
    """Return the time in so many seconds, as AWS writes it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_container(key: str, seconds: float, secret: str = SECRET) -> Reply:
    """Answer as a container's credential service does."""
    return answer({"AccessKeyId": key, "SecretAccessKey": secret, "Token": TOKEN, "Expiration": expiring(seconds)})


def from_machine(key: str, seconds: float) -> Reply:
    """Answer as a machine's metadata service does when asked for its role's credentials."""
    times = {"LastUpdated": expiring(0), "Expiration": expiring(seconds)}
    return answer({"Code": "Success", "AccessKeyId": key, "SecretAccessKey": SECRET, "Token": TOKEN, **times})


def from_sts(key: str, seconds: float, action: str = "AssumeRole") -> Reply:
    """Answer as STS does."""
    body = (
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>'
        f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken>"
        f"<Expiration>{expiring(seconds)}</Expiration></Credentials></{action}Result></{action}Response>"
    )
    return Reply(headers=[("Content-Type", "text/xml")], body=[body.encode()], framing="length")


def sts_refuses(code: str) -> Reply:
    """Answer as STS does to somebody who may not."""
    body = f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{SECRET}</Message></Error></ErrorResponse>"
    return Reply(status=403, headers=[("Content-Type", "text/xml")], body=[body.encode()], framing="length")
