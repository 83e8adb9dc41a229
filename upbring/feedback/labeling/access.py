"""Who is who: invitation tokens of annotators, and tickets for the items that they hold.

A token names its annotator and is signed with the store's secret, so links stay valid when the
server restarts. A ticket names a lease without telling the browser which item it is: a hidden
repeat has another ticket than the first visit.
"""

import base64
import hashlib
import hmac
import secrets

from upbring.errors import InputError
from upbring.votes.records import LabelAnnotator, Lease
from upbring.votes.store import VoteStore
from upbring.web.guard import OWNER

SECRET_NAME = "secret"  # noqa: S105 -- the name of the setting
IDENTITY_PREFIX = "annotator:"


class Access:
    """Tokens, identities and tickets of one store."""

    def __init__(self, store: VoteStore, *, owner_name: str) -> None:
        self._store = store
        secret = store.setting(SECRET_NAME)
        if secret is None:
            secret = secrets.token_hex(32)
            store.set_setting(SECRET_NAME, secret)
        self._secret = bytes.fromhex(secret)
        self.owner = store.add_annotator(owner_name, adjudicates=True)

    def token_of(self, annotator: LabelAnnotator) -> str:
        """Return the token of an annotator's invitation link."""
        number = annotator.annotator_id
        return f"{number}.{self._sign('annotator', number)}"

    def identify(self, token: str) -> str | None:
        """Return the identity of a token for the web guard; None if nobody has it."""
        number = token.partition(".")[0]
        if not number.isascii() or not number.isdecimal() or len(number) > 9:  # noqa: PLR2004 -- digits of an id
            return None
        expected = f"{int(number)}.{self._sign('annotator', int(number))}"
        is_valid = hmac.compare_digest(token.encode(errors="replace"), expected.encode())
        return f"{IDENTITY_PREFIX}{int(number)}" if is_valid else None

    def annotator_of(self, identity: str) -> LabelAnnotator:
        """Return the annotator with an identity of the web guard."""
        if identity == OWNER:
            return self.owner
        return self.annotator(int(identity.removeprefix(IDENTITY_PREFIX)))

    def annotator(self, annotator_id: int) -> LabelAnnotator:
        """Return the annotator with an id."""
        for each in self._store.annotators():
            if each.annotator_id == annotator_id:
                return each
        raise InputError(f"annotator {annotator_id}: is not in this store; open another link")

    def ticket_of(self, lease: Lease) -> str:
        """Return the name of a lease for the browser."""
        parts = (lease.annotator_id, lease.item_id, lease.is_repeat, lease.is_adjudication)
        return self._sign("lease", *parts)

    def _sign(self, *parts: object) -> str:
        text = "\x1f".join(map(str, parts))
        digest = hmac.new(self._secret, text.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:24]).decode()
