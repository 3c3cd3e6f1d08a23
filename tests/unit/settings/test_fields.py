from __future__ import annotations

import re
import sys
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from proxy.settings import fields
from proxy.settings.values import Address, ForwardProxy


class Example(fields.Section):
    name: str
    wait: fields.Duration = 5.0
    secret: fields.Secret = SecretStr("")


def read(kind: Any, value: object) -> Any:
    return TypeAdapter(kind).validate_python(value)


def refusal(kind: Any, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        read(kind, value)
    return str(caught.value.errors()[0]["msg"])


def test_null_means_the_default() -> None:
    example = Example.model_validate({"name": "a", "wait": None})

    assert example.wait == 5.0
    assert example.model_fields_set == {"name"}


def test_null_is_no_value_for_a_required_key() -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate({"name": None})

    assert caught.value.errors()[0]["type"] == "string_type"


def test_an_unknown_key_is_refused_even_when_it_is_null() -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate({"name": "a", "nmae": None})

    assert caught.value.errors()[0]["type"] == "extra_forbidden"


def test_a_section_cannot_be_changed() -> None:
    example = Example(name="a")

    with pytest.raises(ValidationError):
        example.name = "b"


def test_a_validation_error_does_not_print_what_it_was_given() -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate({"name": "a", "wait": "hunter2"})

    assert "hunter2" not in str(caught.value)


def test_a_secret_is_masked_in_json_and_in_repr() -> None:
    example = Example(name="a", secret=SecretStr("hunter2"))

    assert example.model_dump(mode="json")["secret"] == "***"
    assert Example(name="a").model_dump(mode="json")["secret"] == ""
    assert "hunter2" not in repr(example)


def test_values_may_be_given_ready_made() -> None:
    assert read(fields.Duration, 2) == 2
    assert read(fields.Size, 1024) == 1024
    assert read(fields.Listen, Address("h", 1)) == Address("h", 1)
    assert read(fields.Flag, True) is True


@pytest.mark.parametrize("kind", [fields.Duration, fields.Size, fields.Listen, fields.TrustedNetwork, fields.WayOut])
@pytest.mark.parametrize("value", [True, [], {}, None])
def test_a_value_of_another_sort_is_told_what_was_expected(kind: Any, value: object) -> None:
    assert "expected" in refusal(kind, value)


@pytest.mark.parametrize(("kind", "value"), [(fields.PositiveDuration, "0s"), (fields.Size, "0B")])
def test_nothing_is_too_little(kind: Any, value: str) -> None:
    assert "more than 0" in refusal(kind, value)


def test_a_network_may_be_a_single_address() -> None:
    assert read(fields.TrustedNetwork, "10.1.2.3") == ip_network("10.1.2.3/32")
    assert read(fields.TrustedNetwork, "fd00::/8") == ip_network("fd00::/8")


@pytest.mark.parametrize("value", ["10.0.0.1/8", "caddy", "10.0.0.0/33"])
def test_a_wrong_network_is_refused(value: str) -> None:
    assert "without bits set behind the prefix" in refusal(fields.TrustedNetwork, value)


@pytest.mark.parametrize("value", ["a", "ci", "team-1@example.com", "x" * 64])
def test_a_label_is_a_word(value: str) -> None:
    assert read(fields.Label, value) == value


@pytest.mark.parametrize("value", ["", "a b", "a:b", "a,b", "a/b", "-a", "x" * 65, "a\n"])
def test_a_label_is_nothing_else(value: str) -> None:
    assert "expected at most 64" in refusal(fields.Label, value)


@pytest.mark.parametrize("value", ["https://id.example.com/keys?p=policy", "http://localhost:9/keys", "http://[::1]/keys"])
def test_keys_come_over_https_or_from_this_machine(value: str) -> None:
    assert read(fields.KeysUrl, value) == value


@pytest.mark.parametrize(
    "value", ["http://id.example.com/keys", "https://u:p@h/keys", "https://h/#x", "file:///etc/keys", "https://h/?a b"]
)
def test_keys_come_from_nowhere_else(value: str) -> None:
    assert "URL" in refusal(fields.KeysUrl, value)


@pytest.mark.parametrize(
    "value", ["https://app.example.com", "http://localhost:3000", "capacitor://localhost", "https://[::1]:3000"]
)
def test_a_web_origin_is_exact(value: str) -> None:
    assert read(fields.WebOrigin, value) == value


@pytest.mark.parametrize(
    "value", ["*", "https://*.example.com", "https://a.b/", "https://A.b", "null", "a.b", "https://a.b?x", "https://u@a.b"]
)
def test_an_inexact_web_origin_is_refused(value: str) -> None:
    assert "exact origin" in refusal(fields.WebOrigin, value)


@pytest.mark.parametrize("value", ["https://a.b:443", "http://a.b:80"])
def test_a_web_origin_never_has_its_default_port(value: str) -> None:
    assert "default port" in refusal(fields.WebOrigin, value)


@pytest.mark.parametrize("value", ["v1/files", "/v1?x", "/v1#x", "/a/../b", "/./b", "/a b", "/a\\b", ""])
def test_a_path_begins_with_a_slash_and_holds_no_surprises(value: str) -> None:
    assert "expected a path" in refusal(fields.UrlPath, value)


def test_a_path_is_kept_as_it_is() -> None:
    assert read(fields.UrlPath, "/v1/files%2F...") == "/v1/files%2F..."


def test_a_digest_is_64_hex_digits_in_lower_case() -> None:
    assert read(fields.Digest, "AB" * 32) == "ab" * 32


@pytest.mark.parametrize("value", ["ab" * 31, "zz" * 32, "lp_secretkey", ""])
def test_what_is_no_digest_is_refused_unrepeated(value: str) -> None:
    assert refusal(fields.Digest, value).startswith("Value error, expected the 64 hex digits of a SHA-256")


def test_a_cookie_name_and_a_pattern_are_kept_as_they_are() -> None:
    assert read(fields.CookieName, "__Host-token") == "__Host-token"
    assert read(fields.RegularExpression, "^session-[a-z]{4}$") == "^session-[a-z]{4}$"


@pytest.mark.parametrize("value", ["a b", "a;b", "a=b", ""])
def test_a_cookie_name_is_a_token(value: str) -> None:
    assert "cookie name" in refusal(fields.CookieName, value)


@pytest.mark.parametrize("value", ["keepalive", "heartbeat {unix_ms}", "still pinging", "später"])
def test_a_keepalive_text_is_printable(value: str) -> None:
    assert read(fields.KeepaliveText, value) == value


@pytest.mark.parametrize("value", ["", "  ", "a\nb", "a\rb", "a\0b", "x" * 201, "\ud800"])
def test_a_keepalive_text_stays_on_one_line(value: str) -> None:
    assert "printable" in refusal(fields.KeepaliveText, value)


@pytest.mark.parametrize("value", ["ping", "Ping 3", " pingpong"])
def test_a_keepalive_text_never_begins_with_ping(value: str) -> None:
    assert "must not begin with ping" in refusal(fields.KeepaliveText, value)


def test_a_pattern_that_does_not_compile_is_refused() -> None:
    assert "regular expression" in refusal(fields.RegularExpression, "(a")


@pytest.mark.parametrize(
    "headers",
    [{"a b": "x"}, {"": "x"}, {"X": "a\r\nY: b"}, {"X": "ü"}, {"X": " a"}, {"Host": "x"}, {"Transfer-Encoding": "chunked"}],
)
def test_a_header_that_could_break_the_request_is_refused(headers: dict[str, str]) -> None:
    assert re.search("header's name|belongs to the connection|must be ASCII", refusal(fields.Headers, headers))


def test_header_values_are_masked() -> None:
    class Example(fields.Section):
        headers: fields.Headers

    example = Example(headers={"X-Key": "hunter2"})

    assert example.headers == {"X-Key": "hunter2"}
    assert example.model_dump(mode="json") == {"headers": {"X-Key": "***"}}


@pytest.mark.parametrize("value", ["sqlite:///data/usage.db", "sqlite:////var/usage.db", "postgresql://u:p@h/db"])
def test_a_store_is_sqlite_or_postgresql(value: str) -> None:
    assert read(fields.Store, value).get_secret_value() == value


def test_a_store_whose_driver_is_missing_is_refused_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)

    assert "pip install 'llm-stream-proxy[postgres]'" in refusal(fields.Store, "postgresql://u:p@h/db")


@pytest.mark.parametrize("value", ["mysql://root:hunter2@h/db", "sqlite://data/x.db", "sqlite:///", "postgresql:///db", ""])
def test_another_store_is_refused_unrepeated(value: str) -> None:
    message = refusal(fields.Store, value)

    assert "expected sqlite:///" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("value", ["a b", "a\n", "schlüssel", "a\tb"])
def test_a_credential_that_no_header_can_carry_is_refused(value: str) -> None:
    assert "a credential holds no spaces" in refusal(fields.Credential, value)


def test_a_forward_proxy_is_written_with_its_credential_masked() -> None:
    class Example(fields.Section):
        proxy: fields.WayOut | None = None

    example = Example.model_validate({"proxy": "http://u:hunter2@h:3128"})

    assert example.proxy == ForwardProxy("h", 3128, "u", "hunter2")
    assert example.model_dump(mode="json") == {"proxy": "http://***@h:3128"}
    assert Example().model_dump(mode="json") == {"proxy": None}
    assert "hunter2" not in repr(example)
