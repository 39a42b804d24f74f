"""A credential that never asks anybody: it keeps tokens until they run out, and renews them within a limit.

This module imports azure at its top; import it late, in the main thread, and only where the target is Azure ML.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from ...calls import forks
from .claims import claims

try:
    from azure.identity._internal.utils import within_credential_chain as _chain
except ImportError:  # an older azure-identity
    _chain = ContextVar("chain", default=False)

_CHATTY = (
    "_internal.interactive",
    "_internal.decorators",
    "_internal.get_token_mixin",
    "_internal.msal_managed_identity_client",
)
# A member that answers first waits this long for one that stands before it.
_GRACE_SECONDS = 4.0
_RENEW_SECONDS = 300.0
# Threads that waited for the same renewal need not fail one after the other.
_REMEMBER_SECONDS = 2.0


class SignInError(ClientAuthenticationError):  # type: ignore[misc,unused-ignore]
    """No token could be had without asking somebody.

    Parameters
    ----------
    reason : str
        Why, in one line.
    how : str, optional
        Who had signed in until then; empty where nobody had.
    """

    def __init__(self, reason: str, how: str = "") -> None:
        super().__init__(message=reason)
        self.reason = reason
        self.how = how


@dataclass(frozen=True)
class Member:
    """One way to a token.

    Attributes
    ----------
    how : str
        In a few words, as ``"Azure CLI"``.
    source : azure.core.credentials.TokenCredential
        Who is asked.
    """

    how: str
    source: Any


@contextmanager
def in_chain() -> Iterator[None]:
    """Have azure's credentials behave as members of a chain: short probes, no warnings for a failure that we tell."""
    for name in _CHATTY:
        logging.getLogger(f"azure.identity.{name}").addFilter(_is_others)  # adding it twice is harmless
    before = _chain.set(True)
    try:
        yield
    finally:
        _chain.reset(before)


def _is_others(record: logging.LogRecord) -> bool:
    # Some warn in a chain too. What the user's own credentials say, and who asks for more than warnings, is left alone.
    return record.levelno != logging.WARNING or not _chain.get()


def ask(members: Sequence[Member], scope: str, seconds: float) -> tuple[Member, AccessToken]:
    """Ask several at once, and take the first in their order that has a token.

    Parameters
    ----------
    members : sequence of Member
        Whom to ask. Each runs in a daemon thread, and is left behind if it does not end.
    scope : str
        What the token is for.
    seconds : float
        How long to wait for all of them.

    Returns
    -------
    Member
        Who had it.
    AccessToken
        The token.

    Raises
    ------
    SignInError
        If nobody has one in time.
    """
    answers: dict[int, Any] = {}
    changed = threading.Condition()

    def work(index: int, member: Member) -> None:
        try:
            with in_chain():
                answer: Any = member.source.get_token(scope)
        except BaseException as error:  # noqa: BLE001 - carried to the waiting thread, which tells it
            answer = error
        with changed:
            answers[index] = answer
            changed.notify_all()

    start = time.monotonic()
    for index, member in enumerate(members):
        threading.Thread(target=work, args=(index, member), name="mlflow_magics sign-in", daemon=True).start()
    with changed:
        while True:
            spent = time.monotonic() - start
            first = _chosen(answers, len(members), waited=spent >= min(_GRACE_SECONDS, seconds))
            if first is not None:
                return members[first], answers[first]
            if len(answers) == len(members) or spent >= seconds:
                raise SignInError(_why(members, answers, seconds))
            changed.wait(min(0.1, seconds - spent))


def _chosen(answers: dict[int, Any], count: int, *, waited: bool) -> int | None:
    for index in range(count):
        answer = answers.get(index)
        if answer is None and not waited:
            return None
        if answer is not None and not isinstance(answer, BaseException):
            return index
    return None


def _why(members: Sequence[Member], answers: dict[int, Any], seconds: float) -> str:
    """Tell why nobody has a token: what Azure itself said goes before what is not installed."""
    said = [(member, str(answers.get(index, ""))) for index, member in enumerate(members)]
    for member, text in said:
        if "AADSTS" in text:
            return f"{member.how}: {text[text.index('AADSTS') :].splitlines()[0][:200]}"
    late = [member.how for index, member in enumerate(members) if index not in answers]
    if late:
        return f"{', '.join(late)}: no answer within {seconds:g} s"
    if len(said) == 1:
        member, text = said[0]
        return f"{member.how}: {(text.splitlines() or ['no token'])[0][:200]}"
    return "nobody is signed in"


class Credential:
    """A credential for the plugin, which asks it for a token before every request.

    Parameters
    ----------
    member : Member or None
        Who signed in; None where nobody has yet.
    others : callable
        Returns who may be asked, without asking a person, once `member` fails: so that ``az login`` helps in mid-run.
        Called in any thread. Their tokens must be of the same tenant.
    seconds : float
        How long one renewal may take.
    """

    def __init__(self, member: Member | None, others: Callable[[], Sequence[Member]], seconds: float) -> None:
        self._member = member
        self._others = others
        self._seconds = seconds
        self._lock = threading.Lock()
        forks.renew(self, _lock=threading.Lock)
        self._tokens: dict[str, tuple[AccessToken, float]] = {}
        self._tenant = ""
        self._failed: tuple[float, str] | None = None
        self._refused = False

    @property
    def how(self) -> str:
        """Who signed in, in a few words; empty as long as nobody has."""
        return self._member.how if self._member is not None else ""

    def keep(self, scope: str, token: AccessToken) -> None:
        """Keep a token until it is to be renewed."""
        left = token.expires_on - time.time()
        self._tenant = self._tenant or str(claims(token.token).get("tid", ""))
        self._tokens[scope] = token, token.expires_on - min(_RENEW_SECONDS, left / 5)

    def forget(self) -> None:
        """Ask for a new token next time: the service has refused the one that is kept, before it ran out."""
        with self._lock:
            self._tokens.clear()
            self._refused = True  # azure's own credentials keep the token too

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token that is still good."""
        scope = scopes[0]
        if fresh := self._fresh(scope):
            return fresh
        with self._lock:
            if fresh := self._fresh(scope):  # another thread has renewed it meanwhile
                return fresh
            return self._renewed(scope)

    def _fresh(self, scope: str) -> AccessToken | None:
        kept = self._tokens.get(scope)
        return kept[0] if kept and time.time() < kept[1] else None

    def _renewed(self, scope: str) -> AccessToken:
        kept = self._tokens.get(scope)
        try:
            token = self._asked(scope)
        except SignInError:
            if kept and time.time() < kept[0].expires_on - 1:
                return kept[0]  # it is good for a while yet; the next request tries again
            raise
        self.keep(scope, token)
        return token

    def _asked(self, scope: str) -> AccessToken:
        if self._failed and time.monotonic() - self._failed[0] < _REMEMBER_SECONDS:
            raise SignInError(self._failed[1], self.how)
        start, reason = time.monotonic(), ""
        if self._member is not None and not self._refused:
            try:
                return ask([self._member], scope, self._seconds * 0.8)[1]
            except SignInError as error:
                reason = error.reason
        try:
            member, token = self._another(scope, max(0.5, self._seconds - (time.monotonic() - start)))
        except SignInError as error:
            self._failed = time.monotonic(), reason or error.reason
            raise SignInError(self._failed[1], self.how) from error
        self._member, self._failed, self._refused = member, None, False
        return token

    def _another(self, scope: str, seconds: float) -> tuple[Member, AccessToken]:
        """Ask everybody anew, but take no token of another tenant: it would be for other workspaces."""
        try:
            member, token = ask(self._others(), scope, seconds)
            if not self._tenant or claims(token.token).get("tid", "") == self._tenant:
                return member, token
            raise SignInError("another tenant's sign-in")
        except SignInError:
            if self._member is None or not self._refused:
                raise
            return self._member, ask([self._member], scope, seconds)[1]  # a person's: it cannot be made anew
