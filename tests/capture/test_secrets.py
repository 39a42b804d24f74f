"""What is a secret, what only looks like one, and what a redacted text keeps."""

from __future__ import annotations

import pytest

from mlflow_magics.capture.values.secrets import is_secret_name, redact, secret_reason

from .cells import capture, fresh, params, skipped

# Put together at run time, so that no scanner takes this file for a leak. None of them opens anything.
JWT = ".".join(["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIiOiIxMjM0NTY3ODkwIn0", "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"])
SECRET_VALUES = {
    "jwt": JWT,
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "azure account": "DefaultEndpointsProtocol=https;AccountName=a;Account" + "Key=" + "Ab1+" * 21 + "Ab==",
    "azure short key": "Account" + "Key=abcdefghij0123",
    "service bus": "Endpoint=sb://x/;SharedAccess" + "Key=abcdefghijkl0123=",
    "sas": "https://x.blob.core.windows.net/c?sv=2020&si" + "g=abcdefghijklmnop%3D",
    "url": "postgresql://user:" + "hunter22@db.example/x",
    "url without user": "redis://:" + "hunter22@cache:6379",
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----",
    "github": "ghp" + "_" + "a1B2" * 9,
    "github fine": "github" + "_pat_" + "a1B2" * 10,
    "gitlab": "glpat" + "-" + "a1B2c3D4e5F6g7H8i9J0",
    "slack": "xoxb" + "-1234567890-abcdefghij",
    "stripe": "sk" + "_live_" + "a1B2" * 6,
    "openai": "sk" + "-proj-" + "a1B2" * 10,
    "anthropic": "sk" + "-ant-" + "a1B2" * 10,
    "hugging face": "hf" + "_" + "aBcD" * 9,
    "google": "AI" + "za" + "aBcD1" * 7,
    "databricks": "dapi" + "0123456789abcdef" * 2,
    "pypi": "pypi" + "-AgEIcHlwaS5vcmc" + "a1B2" * 20,
    "npm": "npm" + "_" + "a1B2" * 9,
    "bearer": "Authorization: Bear" + "er abcdefghij0123456789",
    "odbc": "Server=x;Uid=me;Pwd" + "=hunter22;",
}
PLAIN_VALUES = [
    "adam", "distilbert-base-uncased-finetuned-sst-2-english", "http://localhost:5000", "https://example.org/a?b=c",
    "sqlite:///mlflow.db", "2024-01-02T03:04:05", "max_tokens=100", "0123456789abcdef0123456789abcdef", "sklearn",
    "data/train/part-0001.parquet", "user@example.org", "a sentence about passwords and tokens, which is fine",
    "sk-learn-contrib", "550e8400-e29b-41d4-a716-446655440000", "http://example.org:8080/a@b",
]  # fmt: skip
SECRET_NAMES = [
    "password", "PASSWORD", "db_password", "dbPassword", "passwd", "pwd", "passphrase", "secret", "client_secret",
    "clientSecret", "credentials", "AWS_SECRET_ACCESS_KEY", "api_key", "apiKey", "apikey", "OPENAI_API_KEY",
    "x-api-key", "access_key", "private_key",
    "account_key", "storage_key", "signing_key", "encryption_key", "subscription_key",
    "connection_string", "AZURE_STORAGE_CONNECTION_STRING",
    "conn_str",
    "token", "auth_token", "HF_TOKEN",
    "access_token",    "bearer", "sas", "sas_token", "hfToken", "cfg.db.password", "api_key_2",
]  # fmt: skip
PLAIN_NAMES = [
    "max_tokens", "n_tokens", "num_tokens", "token_count", "tokenizer", "tokens", "pad_token", "eos_token", "bos_token",
    "unk_token", "sep_token", "cls_token", "mask_token", "author", "authors", "num_key_value_heads", "key", "keys",
    "primary_key", "monkey", "keyboard", "pass_rate", "passes", "secretary", "tokenize", "max_new_tokens", "sort_key",
    "compass", "lr", "accuracy", "sass", "bypass",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_that_are_secret(name: str) -> None:
    assert is_secret_name(name)
    assert secret_reason(name, "s0me-Text42") == "a secret"


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_names_that_are_not(name: str) -> None:
    assert not is_secret_name(name)
    assert secret_reason(name, "some text") == ""


@pytest.mark.parametrize("kind", SECRET_VALUES)
def test_values_that_are_secret(kind: str) -> None:
    value = SECRET_VALUES[kind]
    assert secret_reason("x", value) == "a secret"
    assert secret_reason("x", f"see {value} there") == "a secret"
    assert secret_reason("x", ["fine", value]) == "a secret"
    core = redact(f"x = {value!r}\ny = 1")
    assert "***" in core
    assert core.count("\n") == 1
    assert core.endswith("y = 1")


@pytest.mark.parametrize("value", PLAIN_VALUES)
def test_values_that_are_not(value: str) -> None:
    assert secret_reason("x", value) == ""
    assert redact(f"x = {value!r}") == f"x = {value!r}"


@pytest.mark.parametrize(("name", "value"), [("token", 3), ("token", True), ("n_token", None), ("auth_token", 0.5)])
def test_a_number_called_token_is_fine(name: str, value: object) -> None:
    assert secret_reason(name, value) == ""


@pytest.mark.parametrize("value", [True, False, None])
def test_a_yes_or_no_tells_no_secret(value: object) -> None:
    assert secret_reason("password", value) == ""


@pytest.mark.parametrize("value", [3, 0.5, 4711])
def test_a_number_called_password_is_not(value: object) -> None:
    assert secret_reason("password", value) == "a secret"


REDACTED = [
    ('password = "geheim1"', 'password = "***"'),
    ("password = 'geheim1'", "password = '***'"),
    ('password: str = "geheim1"', 'password: str = "***"'),
    ('connect(api_key="geheim1", lr=0.1)', 'connect(api_key="***", lr=0.1)'),
    ('{"token": "geheim1", "lr": "0.1"}', '{"token": "***", "lr": "0.1"}'),
    ('os.environ["X_TOKEN"] = "geheim1"', 'os.environ["X_TOKEN"] = "***"'),
    ('os.environ.setdefault("X_TOKEN", "geheim1")', 'os.environ.setdefault("X_TOKEN", "***")'),
    ('if secret == "geheim1":', 'if secret == "***":'),
    ('pwd = f"geheim1"', 'pwd = f"***"'),
    ("%env API_KEY=geheim1", "%env API_KEY=***"),
    ("%env API_KEY geheim1", "%env API_KEY ***"),
    ("!login --token geheim1 --user me", "!login --token *** --user me"),
    ("!export TOKEN=geheim1 && ls", "!export TOKEN=*** && ls"),
    ("%%mlflow_run x --tags token=geheim1 a=b", "%%mlflow_run x --tags token=*** a=b"),
    ('secret = """geh\neim1"""\nx = 1', 'secret = """***\n"""\nx = 1'),
    ("a = 'postgres://me:geheim1@host/db'", "a = 'postgres://me:***@host/db'"),
]


@pytest.mark.parametrize(("source", "expected"), REDACTED)
def test_redaction(source: str, expected: str) -> None:
    assert redact(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "max_tokens=100",
        'tokenizer = "gpt2"',
        "model(input_ids, token_type_ids=token_type_ids)",
        'tok = AutoTokenizer.from_pretrained("gpt2", pad_token="<pad>")',
        "password = getpass()",
        'df["token_count"] = 3',
        "%timeit f(x)",
        '%%mlflow_run forest --tags stage=dev "a b"',
        "def login(user, password):\n    return api(user, password)",
    ],
)
def test_ordinary_code_is_untouched(source: str) -> None:
    assert redact(source) == source


def test_what_stands_behind_the_string_is_untouched() -> None:
    for source in (
        'run(["train.py", "--api-key={}"])',
        'print("password:", "{}"); x = [1]',
        "raise ValueError('wrong password: {}') from None",
    ):
        assert redact(source.format("Clove-2628")) == source.format("***")


def test_live_values_are_redacted_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "from-the-environment")
    text = redact(
        "ValueError: bad login geheim1, from-the-environment, abc, plain",
        {"db_password": "geheim1", "pwd": "abc", "name": "plain", "token": 3},
    )
    assert text == "ValueError: bad login ***, ***, abc, plain"


def test_secrets_cannot_be_forced_and_do_not_hide_in_records() -> None:
    from mlflow_magics.vocabulary.records import Choices

    code = (
        "api_key = 'geheim1'\n"
        "cfg = {'lr': 0.1, 'db': {'password': 'geheim1', 'url': 'redis://:geheim1@h'}}\n"
        "uri = f'redis://:geheim1@h/{1}'\nboth = ('a', 'redis://:geheim1@h')\n"
    )
    names = ("api_key", "cfg", "uri", "both")
    for choices in (Choices(), Choices(params=names), Choices(metrics=names)):
        captured = capture(code, fresh(), choices)
        assert "geheim1" not in repr(captured)
        assert {"api_key", "cfg.db.password", "cfg.db.url", "uri", "both"} <= skipped(captured).keys()
    assert params(capture(code, fresh())) == {"cfg.lr": "0.1"}
