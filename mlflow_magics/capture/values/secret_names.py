"""Says from a name whether its value is a secret, may be one, or only tells something about one."""

from __future__ import annotations

import enum
import functools
import itertools
import re
import unicodedata
from typing import Final

WORDS: Final = re.compile(r"[A-Z]{1,99}(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")
"""The words of ``snake_case``, ``camelCase``, ``HTTPServer`` and of other alphabets."""

LONGEST: Final = 200
"""Characters of a name that are looked at: its end says what it is."""


class Grade(enum.IntEnum):
    """How much a name says. The higher, the less the value must look like a secret to be taken for one."""

    NONE = 0
    """Nothing: ``tokenizer``, ``password_column``."""
    ABOUT = 1
    """It tells something about a secret, ``password_policy``: only a random text is one."""
    WEAK = 2
    """It may be a secret, ``token``, ``cookie``, ``app_key``: a text with digits or signs in its words is one."""
    STRONG = 3
    """It is a secret: ``db_password``, ``apiKey``."""


def each(words: str) -> frozenset[str]:
    """Make a set of the words of a text."""
    return frozenset(words.split())


def _bare(text: str) -> str:
    """Take the accents off."""
    letters = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", "".join(letters)).replace("ß", "ss").replace("ł", "l")


PASSWORDS: Final = each(
    _bare("""
    password passwd passwrd passwort passphrase passcode pswd psw pwd pw kennwort senha contrasena motdepasse
    parola haslo wachtwoord losenord adgangskode passord salasana heslo jelszo sifre parool lozinka geslo
    slaptazodis sandi kodeord secret credential cred apikey authkey privatekey secretkey accesskey accountkey
    encryptionkey signingkey connectionstring connstr clientsecret accesstoken authtoken refreshtoken
    bearertoken apitoken segredo secreto geheimnis пароль секрет 密码 密碼 口令 密钥 パスワード 비밀번호 암호 סיסמה رمز
""")
)
"""Words for a password or a key, in the languages that notebooks are written in, without accents."""

_FOREIGN: Final = PASSWORDS - each("""
    password passwd passwrd passphrase passcode pswd psw pwd pw secret credential cred apikey authkey privatekey
    secretkey accesskey accountkey encryptionkey signingkey connectionstring connstr clientsecret accesstoken authtoken
    refreshtoken bearertoken apitoken parola sandi
""") | {"passe"}

ENDS: Final = ("password", "passwd", "passwort", "kennwort", "passphrase", "apikey", "secretkey", "accesskey")
"""Ends of words that were written together: ``PGPASSWORD``."""

PHRASES: Final = frozenset(
    {
        *(("connection", "string"), ("conn", "str"), ("connection", "str"), ("conn", "string"), ("pass", "word")),
        *(
            ("pass", "phrase"),
            ("pass", "code"),
            ("de", "passe"),
            ("mot", "passe"),
            ("palavra", "passe"),
            ("mat", "khau"),
        ),
        *(("kata", "sandi"), ("clave", "api"), ("chave", "api"), ("cle", "api"), ("clave", "secreta")),
        *(("chave", "secreta"), ("cle", "secrete"), ("clave", "privada"), ("chave", "privada"), ("cle", "privee")),
        *(("api", "schluessel"), ("api", "schlussel"), ("api", "clave"), ("api", "chave")),
    }
)
KEYS: Final = each("""
    api access private account secret signing encryption subscription auth master
""")
"""Words that make a following ``key`` secret."""

MAYBE_KEYS: Final = each("""
    storage shared admin function license licence ssh rsa pgp aes hmac fernet deploy service client server app
    application consumer openai anthropic azure aws gcp google wandb hf huggingface cohere mistral groq
    pinecone tavily kaggle stripe twilio sendgrid mailgun maps datadog sentry webhook session jwt crypto
    cipher vault root host instrumentation user project org comet neptune clearml together replicate deepseek
    gemini write read
""")
"""Words that make a following ``key`` secret where its value looks so."""

OWNERS: Final = each("""
    db user login admin root mail email smtp imap ftp sftp ssh sql mysql pg pgsql postgres postgresql redis
    mongo mongodb proxy http https rabbit mq auth server host account service ldap wifi vpn sudo jdbc database
    app web api oracle mssql snowflake test my default
""")
"""Whose ``pass`` is a password; ``first_pass`` is none."""

TOKEN_OWNERS: Final = each("""
    auth access api bearer hf refresh id github gitlab slack bot csrf xsrf sas jwt oauth personal secret
    security admin service deploy webhook wandb huggingface hub azure aws databricks mlflow login client
    device registration upload pypi npm vault telegram discord gh gl git jira notion kaggle dropbox airflow
    jupyter openai private
""")
"""Whose ``token`` is a secret; ``pad_token`` is a word of a vocabulary."""

NOT_TOKENS: Final = each("""
    max min n num total pad eos bos unk sep cls mask special stop start end first last next prompt completion
    input output new generated cached prediction tokens count image audio begin decoder forced reasoning per
    avg mean word sub
""")
"""``pad_token`` is a word of a vocabulary, ``max_tokens`` a number."""

WEAK: Final = each("""
    mdp clave token bearer sas jwt auth authorization cookie session sessionid sid pat dsn otp
""")
"""Words that make a name doubtful at its end."""

NEUTRAL: Final = each("""
    value str string text plain raw b64 base64 prod production dev test staging stage live old new default
    current here in for primary secondary main backup local remote tmp temp my the enc encoded

""")
"""Words behind a secret that leave it one: ``password_prod``."""

_BEHIND: Final = (
    NEUTRAL
    | OWNERS
    | TOKEN_OWNERS - {"id", "client"}
    | each("""
    bd banco datenbank basedatos correo usuario usuarios benutzer nutzer kunde cliente produccion
""")
)
"""``senha_banco`` and ``pwd_postgres`` are secrets still."""

COUNTS: Final = each("""
    n num max min total len length count size number use has is need needs with no
""")
"""Words before or behind a secret that make a number or a choice of it."""

DESCRIBE: Final = each("""
    env header prefix column columns col cols name names field
    fields path file files filename dir folder length len size count
    url uri endpoint policy type kind min max ratio rate weight threshold index idx pattern regex format
    provider manager version var variable scope label labels feature features mode dim level class classes
""")
"""Words that tell something about a secret: ``access_key_column``."""


@functools.lru_cache(maxsize=8192)
def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in WORDS.findall(_bare(name)))


def words_of(name: str) -> list[str]:
    """List the words of a name, in lower case."""
    return list(_words(name[-LONGEST:]))


def grade(name: str) -> Grade:
    """Tell what a name says."""
    return _grade(name[-LONGEST:])


@functools.lru_cache(maxsize=8192)
def _grade(name: str) -> Grade:
    steps = [step for step in name.split(".") if step]
    grades = [_step(_words(step)) for step in steps]
    if not grades:
        return Grade.NONE
    # Below `password` and `token` stands what describes them; below `credentials` and `passwords` stand the parts.
    above = [each if _has_parts(step) else min(each, Grade.ABOUT)
             for step, each in zip(steps[:-1], grades[:-1], strict=True) if each]  # fmt: skip
    below = [Grade.WEAK if each is Grade.STRONG else each for each in above] if _describes(steps[-1]) else above
    numbered = steps[-1].isdigit() and len(grades) > 1
    return Grade(max([*below, grades[-2] if numbered else grades[-1]]))


def _has_parts(step: str) -> bool:
    return names_several(step) or _words(step)[-1].startswith("cred") or "secret" in step.lower()


def names_several(name: str) -> bool:
    """Tell whether a name is that of several: ``passwords``, ``API_KEYS``, not ``db_pass``."""
    words = _words(name[-LONGEST:])
    return bool(words) and words[-1].endswith("s") and not words[-1].endswith("ss")


def is_password_name(name: str) -> bool:
    """Tell whether even a small number that goes by this name is a secret.

    True for ``password`` and ``db_password``, False for ``pw`` and ``auth_token``.
    """
    words = words_of(name)
    return grade(name) is Grade.STRONG and bool(words) and words[-1].endswith(ENDS)


def is_token_name(name: str) -> bool:
    """Tell whether a name ends as ``SOME_TOKEN`` does; in the environment that is a secret whosever it is.

    False for ``PAD_TOKEN``.
    """
    return grade(name) >= Grade.WEAK and words_of(name)[-1] == "token"


def _describes(step: str) -> bool:
    words = _words(step)
    return bool(words) and words[-1] in DESCRIBE


def _step(words: tuple[str, ...]) -> Grade:
    """Judge one step by its last words, and what stands behind them."""
    if not words:
        return Grade.NONE
    rest = list(words)
    while not (found := _head(rest)) and len(rest) > 1 and (rest[-1].isdigit() or rest[-1] in _BEHIND):
        rest.pop()
    if found:
        return found
    if any(_head(rest[:length]) is Grade.STRONG for length in range(1, len(rest))):
        if rest[-1] in DESCRIBE:
            return Grade.NONE
        # What follows in another language is not known: `hasło_bazy` is the password of the database.
        return Grade.WEAK if _FOREIGN & set(rest) else Grade.ABOUT
    return Grade.NONE


def _head(words: list[str]) -> Grade:
    """Judge by the last words alone."""
    before, last = words[:-1], words[-1]
    single = last[:-1] if len(last) > 3 and last.endswith("s") and not last.endswith("ss") else last
    plural = single != last
    if COUNTS & set(before) and (plural or {"use", "has", "is", "need", "needs", "with", "no"} & set(before)):
        return Grade.NONE
    if single in PASSWORDS or last in PASSWORDS or single.endswith(ENDS):
        return Grade.STRONG
    if before and any(pair in PHRASES for pair in itertools.pairwise((before[-1], single))):
        return Grade.STRONG
    if last.endswith("pwd") and last[:-3] in OWNERS:
        return Grade.STRONG
    if last == "pass" or (last.endswith("pass") and last[:-4] in OWNERS):
        owned = not before or before[-1] in OWNERS or last != "pass"
        return Grade.STRONG if owned else Grade.NONE
    if single in {"key", "schlussel", "schluessel", "chave", "clave"} and before:
        return Grade.STRONG if before[-1] in KEYS else Grade.WEAK if before[-1] in MAYBE_KEYS else Grade.NONE
    if single == "token" or (single.endswith("token") and single[:-5] in TOKEN_OWNERS):
        return _token(before, single, plural)
    if words == ["key"]:
        return Grade.ABOUT
    return Grade.WEAK if single in WEAK or last in WEAK else Grade.NONE


def _token(before: list[str], last: str, plural: bool) -> Grade:
    if NOT_TOKENS & set(before) or (plural and not before):
        return Grade.NONE
    if last != "token" or (before and before[-1] in TOKEN_OWNERS):
        return Grade.STRONG
    return Grade.NONE if plural else Grade.WEAK
