"""Secrets that must not leave the kernel, and texts that are none and must arrive as they are.

Each is a cell. A secret's text must be in nothing that is kept of its cell: params, tags, source, traceback, the shown
block, the journal. An innocent's cell is stored to the letter, and its params are there with their values.

Whatever opens something is made up, from `made`, so that no scanner takes this file for a leak.
"""

# ruff: noqa: E501 (a cell is read in one piece)
from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass, field


def made(kind: str, length: int = 32, letters: str = "") -> str:
    """A text that looks drawn by chance, always the same for the same `kind`."""
    letters = letters or "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    stream = b"".join(hashlib.sha256(f"{kind}{n}".encode()).digest() for n in range(length // 16 + 1))
    return "".join(letters[byte % len(letters)] for byte in stream[:length])


HEX = "0123456789abcdef"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True)
class Secret:
    """A cell that holds a secret; `ends` is how the cell ends."""

    kind: str
    text: str
    cell: str
    fails: bool = False


@dataclass(frozen=True)
class Innocent:
    """A cell that holds none, and the params that must be there."""

    kind: str
    cell: str
    params: dict[str, str] = field(default_factory=dict)


def _plain(kind: str, text: str, cell: str, *, fails: bool = False) -> Secret:
    return Secret(kind, text, cell.replace("§", text), fails)


_JWT = ".".join(["eyJ" + made("jwt1", 33), "eyJ" + made("jwt2", 40), made("jwt3", 43)])
_PEM = "\\n".join(made(f"pem{n}", 64) for n in range(3))
_B64 = base64.b64encode(b"bob:hunter22").decode()
_DEF = "def connect(host, pw=None, **more): return host\n"

SECRETS = [
    # By a name.
    _plain("a password", "hunter22", "password = '§'"),
    _plain("a password of letters alone", "sunflower", "db_password = '§'\nlr = 0.1"),
    _plain("a passphrase with blanks", "correct horse battery", "passphrase = '§'"),
    _plain("Portuguese", "segura77", "senha = '§'"),
    _plain("Spanish", "segura78", "contraseña = '§'"),
    _plain("Spanish without the tilde", "segura79", "contrasena_bd = '§'"),
    _plain("German", "geheim77", "passwort = '§'"),
    _plain("German, a key", "geheim78x", "api_schlüssel = '§'"),
    _plain("French", "secret79a", "mot_de_passe = '§'"),
    _plain("Italian", "segreta80", "parola_d_ordine = 1\nparola = '§'"),
    _plain("Polish", "tajne81xx", "hasło = '§'"),
    _plain("Polish, of the database", "tajne82xx", "hasło_bazy = '§'"),
    _plain("French, of the database", "secret80a", "mot_de_passe_bdd = '§'"),
    _plain("Dutch", "geheim82x", "wachtwoord = '§'"),
    _plain("Russian", "секрет83x", "пароль = '§'"),
    _plain("Chinese", "mima84abc", "密码 = '§'"),
    _plain("Japanese", "himitsu85", "パスワード = '§'"),
    _plain("short for it", "hunter23", "pw = '§'"),
    _plain("written together", "hunter24", "PGPASSWORD = '§'"),
    _plain("an environment variable", "hunter25", "import os\nos.environ['DB_PASS'] = '§'"),
    _plain("the default of a variable that is not set", "hunter26",
           "import os\npw = os.environ.get('NOT_SET_AT_ALL', '§')"),
    _plain("the default of a getenv", "hunter27", "import os\ndb_pwd = os.getenv('NOT_SET_AT_ALL') or '§'"),
    _plain("one by keyword", "hunter28", _DEF + "connect('h', pw='§')"),
    _plain("one in a nested dict", "hunter29", "cfg = {'lr': 0.1, 'db': {'host': 'h', 'pass': '§'}}"),
    _plain("one in a list of dicts", "hunter30", "dbs = [{'host': 'h', 'password': '§'}, {'host': 'i'}]"),
    _plain("a user and a password", "hunter31", "auth = ('bob', '§')"),
    _plain("a user and a password by keyword", "hunter32", _DEF + "connect('h', auth=('bob', '§'))"),
    _plain("a client secret in a tuple", made("cs", 34), "client_id, client_secret = ('me', '§')"),
    _plain("two names at once", "hunter33", "user, password = 'bob', '§'"),
    _plain("a comment", "hunter34", "# password: §\nlr = 0.1"),
    _plain("a comment behind code", "hunter35", "lr = 0.1  # pw=§"),
    _plain("a docstring", "hunter36", "def f():\n    '''Login: bob\n    Password: §\n    '''\nlr = 0.1"),
    _plain("a dataclass", "hunter37",
           "from dataclasses import dataclass\n@dataclass\nclass Cfg:\n    password: str = '§'\n    lr: float = 0.1\ncfg = Cfg()"),
    _plain("a class of settings", "hunter38", "class CFG:\n    lr = 0.1\n    db_password = '§'\nx = CFG.lr"),
    _plain("a namespace", "hunter39", "from types import SimpleNamespace\nargs = SimpleNamespace(lr=0.1, secret='§')"),
    _plain("an f-string", "hunter40", "user = 'bob'\npassword = f'{user}-§'"),
    _plain("joined strings", "hunter41", "password = ('ab' 'cd'\n            '§')"),
    _plain("an if", "hunter42", "prod = False\npassword = 'other99x' if prod else '§'"),
    _plain("a copy under a harmless name", "hunter43", "password = '§'\nlabel = password\ngreeting = f'hi {password}'"),
    _plain("a list of passwords", "hunter44", "passwords = ['other98x', '§']"),
    _plain("a number", "48151623", "password = §"),
    _plain("a UUID as a client secret", str(uuid.UUID(bytes=b"0123456789abcdef")), "client_secret = '§'"),
    _plain("a session's cookie", made("sess", 40), "cookies = {'sessionid': '§'}"),
    # By a form.
    _plain("a header, basic", _B64, "headers = {'Authorization': 'Basic §'}"),
    _plain("a header, bearer", made("bearer", 40), "headers = {'Authorization': 'Bearer §', 'Accept': 'text/html'}"),
    _plain("a header, a scheme of its own", made("scheme", 30), "headers = {'authorization': 'Token §'}"),
    _plain("a header, a key", made("xkey", 30), "headers = {'X-Api-Key': '§'}"),
    _plain("a header, a cookie", made("cookie", 30), "headers = {'Cookie': 'sid=§; theme=dark'}"),
    _plain("a header as a line", _B64, "header = 'Authorization: Basic §'"),
    _plain("a DSN with a key", made("sentry", 32, HEX), "dsn = 'https://§@o1.ingest.sentry.io/42'"),
    _plain("a URL with a password", "hunter45", "url = 'postgresql://bob:§@db/x'"),
    _plain("a URL with a password and no user", "hunter46", "broker = 'redis://:§@cache:6379/0'"),
    _plain("a URL with a password that has a slash", "hun/ter47", "url = 'mysql://bob:§@db/x'"),
    _plain("a URL with a token", made("tok", 30), "remote = 'https://x-access-token:§@github.com/a/b'"),
    _plain("a URL signed for a while", made("sas", 43) + "%3D",
           "blob = 'https://a.blob.core.windows.net/c?sv=2022-11-02&se=2026-01-01&si" + "g=§'"),
    _plain("a URL signed at AWS", made("amz", 64, HEX), "u = 'https://b.s3.amazonaws.com/k?X-Amz-Expires=9&X-Amz-Signature=§'"),
    _plain("a URL with a key in it", made("urlkey", 30), "u = 'https://api.example.com/v1/data?units=m&api_key=§'"),
    _plain("a storage account", made("acc", 86) + "==", "s = 'DefaultEndpointsProtocol=https;AccountName=a;AccountKey=§;'"),
    _plain("a service bus", made("sb", 43) + "=", "s = 'Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=§'"),
    _plain("ODBC", "hunter48", "s = 'Driver={SQL};Server=x;Uid=me;Pwd=§;'"),
    _plain("libpq", "hunter49", "s = 'host=db user=bob password=§ dbname=x'"),
    _plain("JWT", _JWT, "x = '§'"),
    _plain("AWS, id", "AKIA" + made("akia", 16, UPPER), "x = '§'"),
    _plain("AWS, key", made("aws", 40), "aws_secret_access_key = '§'"),
    _plain("Google", "AIza" + made("aiza", 35), "x = '§'"),
    _plain("GitHub", "ghp" + "_" + made("ghp", 36), "x = '§'"),
    _plain("GitHub, fine-grained", "github" + "_pat_" + made("ghf", 60), "x = ['a', '§']"),
    _plain("GitLab", "glpat" + "-" + made("gl", 20), "x = '§'"),
    _plain("Slack", "xoxb" + "-123456789012-" + made("slack", 24), "x = '§'"),
    _plain("Slack, a hook", "T0" + made("hook", 8) + "/B0" + made("hook2", 8) + "/" + made("hook3", 24),
           "hook = 'https://hooks.slack.com/services/§'"),
    _plain("OpenAI", "sk" + "-proj-" + made("oai", 48), "x = '§'"),
    _plain("Anthropic", "sk" + "-ant-api03-" + made("ant", 48), "x = '§'"),
    _plain("Hugging Face", "hf" + "_" + made("hf", 34), "x = '§'"),
    _plain("Databricks", "dapi" + made("dapi", 32, HEX), "x = '§'"),
    _plain("Stripe", "sk" + "_live_" + made("stripe", 24), "x = '§'"),
    _plain("SendGrid", "SG." + made("sg", 22) + "." + made("sg2", 43), "x = '§'"),
    _plain("npm", "npm" + "_" + made("npm", 36), "x = '§'"),
    _plain("Groq", "gsk" + "_" + made("groq", 52), "x = '§'"),
    _plain("PyPI", "pypi" + "-AgEIcHlwaS5vcmc" + made("pypi", 80), "x = '§'"),
    _plain("a private key", made("pem1", 64), "k = '-----BEGIN RSA PRIV" + f"ATE KEY-----\\n{_PEM}\\n-----END RSA PRIVATE KEY-----'"),
    _plain("netrc", "hunter50", "netrc = 'machine github.com login bob password §'"),
    _plain("settings in a text", "hunter51", "env = '''\nDB_HOST=h\nDB_PASSWORD=§\n'''"),
    _plain("YAML in a text", "hunter52", "conf = '''\ndb:\n  password: §\n  port: 1\n'''"),
    _plain("JSON in a text", "hunter53", "conf = '{\"db\": {\"password\": \"§\"}}'"),
    _plain("a command", "hunter54", "cmd = 'mysql -u root -p§ db'"),
    _plain("a command with an option", "hunter55", "cmd = 'login --password § --host h'"),
    _plain("a command as a list", "hunter56", "cmd = ['login', '--password', '§', '--host', 'h']"),
    _plain("curl", "hunter57", "cmd = 'curl -u bob:§ https://h/'"),
    _plain("a login by position", "hunter58", "class S:\n    def login(self, a, b): pass\nS().login('me', '§')"),
    # Shown by an exception.
    _plain("an argument shown by an exception", "hunter59",
           "def connect(host, pw):\n    raise ValueError(f'no access for {pw!r}')\nconnect('h', pw='§')", fails=True),
    _plain("an argument by position", "hunter60",
           "def connect(host, password):\n    raise ValueError('no access with ' + password)\n"
           "connect('h', ''.join(['hun', 'ter60']))", fails=True),
    _plain("an argument among keywords", "hunter61",
           "def connect(**options):\n    raise ValueError(options['passwd'])\nconnect(passwd='hun' + 'ter61')", fails=True),
    _plain("a message that names it", "hunter62", "raise ValueError('bad login: user=bob password=' + 'hun' + 'ter62')", fails=True),
    _plain("a URL in a message", "hunter63", "raise OSError('GET https://bob:hun' + 'ter63@h/x failed')", fails=True),
    _plain("the cause of another", "hunter64",
           "def f(token_, pw):\n    raise KeyError(pw)\ntry:\n    f(1, 'hun' 'ter64')\nexcept KeyError as e:\n"
           "    raise ValueError('second') from e", fails=True),
]  # fmt: skip

_SHA = made("sha", 40, HEX)
_UUID = str(uuid.UUID(bytes=b"fedcba9876543210"))
_PNG = base64.b64encode(hashlib.sha512(b"image").digest() * 12).decode()


def _param(kind: str, name: str, value: str) -> Innocent:
    return Innocent(kind, f"{name} = {value!r}", {name: value})


INNOCENTS = [
    _param("a name like a key", "split", "sk-learn-style-random-split"),
    _param("a word", "token", "the"),
    _param("a word with a sign", "token", "##ing"),
    _param("a policy", "password_policy", "strict"),
    _param("a column", "access_key_column", "id"),
    _param("a column called so", "target_column", "password"),
    Innocent("a yes or no", "experiment_secret = False", {"experiment_secret": "False"}),
    Innocent("a yes or no called auth", "auth = True", {"auth": "True"}),
    Innocent("nothing", "api_key = None", {"api_key": "None"}),
    _param("a commit", "commit", _SHA),
    _param("a checksum", "data_sha256", made("sha256", 64, HEX)),
    _param("an MD5", "md5", made("md5", 32, HEX)),
    _param("a UUID", "experiment_uuid", _UUID),
    _param("an id of a run", "run_id", made("run", 32, HEX)),
    _param("an image in base64", "thumbnail", _PNG),
    _param("an image as a data URI", "logo", "data:image/png;base64," + _PNG),
    _param("a tokenizer", "tokenizer", "bert-base-uncased"),
    _param("a model", "model_name", "distilbert-base-uncased-finetuned-sst-2-english"),
    _param("a model of a hub", "model_id", "meta-llama/Llama-3.1-8B-Instruct"),
    _param("a model with a date", "deployment", "gpt-4o-mini-2024-07-18"),
    _param("a data set", "dataset_id", "HuggingFaceFW/fineweb-edu-sample-10BT"),
    _param("a padding token", "pad_token", "<pad>"),
    _param("a mask token", "mask_token", "[MASK]"),
    _param("a token of an end", "eos_token", "</s>"),
    _param("a trigger", "trigger_token", "sks"),
    Innocent("counts of tokens", "max_tokens = 512\nn_tokens = 1024", {"max_tokens": "512", "n_tokens": "1024"}),
    Innocent("a number called token", "token_dim = 64\nnum_key_value_heads = 8", {"token_dim": "64"}),
    Innocent("words of a text", "tokens = ('the', 'cat')", {"tokens": "('the', 'cat')"}),
    _param("an author", "author", "Ada Lovelace"),
    _param("a key of a list", "key", "value"),
    _param("a key to sort by", "sort_key", "created_at"),
    _param("a primary key", "primary_key", "customer_id"),
    _param("a key to cache by", "cache_key", "train-v2-2024-01-02"),
    _param("a key of an object", "s3_key", "raw/2024/01/part-0001.parquet"),
    _param("a key press", "hotkey", "ctrl+shift+p"),
    _param("a musical key", "song_key", "C# minor"),
    _param("DNA", "sequence", "ACGTTAGACCAGATTACA" * 4),
    _param("DNA as long as a key", "primer", "ACCAGATTACAGATTACAGA"),
    _param("a protein", "protein", "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQ"),
    _param("a protein as long as a key", "peptide", "ASIAKQRQISFVKSHFSRQL"),
    _param("SMILES", "smiles", "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O"),
    _param("a date", "cutoff", "2024-01-02T03:04:05+00:00"),
    _param("a path", "data_path", "data/train/part-0001.parquet"),
    _param("a path of a file of keys", "credentials_path", "conf/local/credentials.yml"),
    _param("a path to a key", "private_key_file", "~/.ssh/id_ed25519"),
    _param("a path in a cloud", "uri", "abfss://training-data2024@account.dfs.core.windows.net/a/b"),
    _param("a bucket", "bucket", "s3://my-bucket-2024/models/v3"),
    _param("a URL", "homepage", "https://example.org/a?b=c&page=2"),
    _param("a URL with a port", "server", "http://localhost:5000"),
    _param("a URL of a token", "token_url", "https://login.example.org/oauth2/v2.0/token"),
    _param("a URL with an at sign behind", "link", "http://example.org:8080/a@b"),
    _param("a remote of git", "remote", "git@github.com:ada/engine.git"),
    _param("an address", "contact", "ada.lovelace1815@example.org"),
    _param("a local store", "store", "sqlite:///mlflow.db"),
    _param("an image of Docker", "image", "ghcr.io/ada/train:2024.1@sha256:" + made("img", 64, HEX)),
    _param("a name of a secret", "secret_name", "db-prod-password"),
    _param("a scope of secrets", "secret_scope", "kv-prod"),
    _param("a kind of token", "token_type", "word-piece"),
    _param("a kind of sign-in", "auth_method", "oauth2"),
    _param("a kind of sign-in alone", "auth", "basic"),
    _param("a placeholder", "api_key", "<your-api-key>"),
    _param("a placeholder of stars", "password", "***"),
    _param("a placeholder of a variable", "db_password", "${DB_PASSWORD}"),
    _param("a hash's name", "password_encoder", "bcrypt"),
    _param("a sentence", "prompt", "Explain what a password, a token and a secret key are for"),
    _param("a sentence with a colon", "prompt", "Basic training: the key to success"),
    _param("a kind of pass", "first_pass", "greedy"),
    _param("a filter", "filter_type", "low_pass"),
    _param("an RL problem", "mdp", "gridworld"),
    _param("a secretary", "secretary", "Grace Hopper"),
    _param("a compass", "compass", "north-west"),
    _param("a cookie", "cookie", "chocolate"),
    _param("a version", "version", "1.2.3+cu121.post20240102"),
    _param("a device", "gpu", "NVIDIA-A100-SXM4-80GB"),
    _param("a layer", "layer", "encoder.layers.11.self_attn.q_proj.weight"),
    _param("an expression", "formula", "y ~ x1 + C(x2):x3"),
    _param("a regular expression", "pattern", r"^[A-Z]{2}\d{6}$"),
    _param("a colour", "colour", "#1f77b4"),
    _param("a long name", "run_label", "resnet50_bs256_lr0.1_wd1e-4_aug-randaug_ep90_seed1234567"),
    _param("a country's code", "locale", "pt_BR.UTF-8"),
    Innocent("a configuration", "cfg = {'token_dim': 64, 'key': 'a', 'keys': 2, 'passes': 3}",
             {"cfg.token_dim": "64", "cfg.key": "a", "cfg.keys": "2", "cfg.passes": "3"}),
    Innocent("columns", "cols = ('user', 'password', 'email')", {"cols": "('user', 'password', 'email')"}),
    Innocent("numbers as numpy writes them", "text = 'array([0.12345678, 1.2345e-05, 3.])'",
             {"text": "array([0.12345678, 1.2345e-05, 3.])"}),
    Innocent("the working folder", "import os\nhere = os.environ.get('PWD', '')\nlr = 0.1", {"lr": "0.1"}),
    # Only read: nothing of the source may be changed.
    Innocent("asked for", "def getpass(prompt): return ''\npassword = getpass('Password for bob2: ')"),
    Innocent("from a vault", "def get_secret(name): return ''\npassword = get_secret('db-prod-2024')"),
    Innocent("from a variable", "import os\ntoken = os.environ.get('HF_TOKEN')\nx = 1", {"x": "1"}),
    Innocent("from a file", "import io\ntoken = io.StringIO('').read().strip('\\n')"),
    Innocent("from a dict", "cfg = {'db': {}}\npassword = cfg['db'].get('password')"),
    Innocent("an argument", "def login(user, password):\n    return dict(user=user, password=password)\nx = 1", {"x": "1"}),
    Innocent("an annotation", "def f(token: str, password: str | None = None) -> str: return token\nx = 1", {"x": "1"}),
    Innocent("a header from a variable", "tok = ''\nheaders = {'Authorization': f'Bearer {tok}'}"),
    Innocent("a URL from variables", "u = p = ''\nurl = f'postgres://{u}:{p}@db/x'"),
    Innocent("a comparison of kinds", "kind = 'word'\nif kind == 'token':\n    x = 1", {"kind": "word"}),
    Innocent("a comment about one", "lr = 0.1  # the password is read from the vault, the token too", {"lr": "0.1"}),
    Innocent("words in a list", "columns = ['id', 'password', 'email', 'token']\nx = 1", {"x": "1"}),
    Innocent("a draw", "import random\ntoken = ''.join(random.choice('abcdef0123456789') for _ in range(0))"),
    Innocent("a call with a token", "def tok(**k): return 1\nt = tok(pad_token='<pad>', sep_token='[SEP]', max_tokens=5)"),
]  # fmt: skip
