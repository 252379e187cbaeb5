"""Everything that can go wrong, sorted by what the caller does about it.

KlinesError
├── Retry              ask again, soon: it may well succeed
│   ├── Unreachable    no answer: DNS, TLS, refused, reset, timed out
│   ├── ServerFault    an answer that blames the exchange: 5xx, 408, -1000, -1001 …
│   ├── BadAnswer      an answer that is no list of klines
│   └── BadArchive     a file of the archive that can't be trusted
├── Stop               nobody asks any more; the run ends
│   ├── RateLimited    429, 418: the pool's weight is spent, or the address banned, until a known time
│   ├── Blocked        403, 451: this address is refused
│   └── ExchangeDown   maintenance, unreachable, or publishing nothing
├── Later              not in this run: the next one asks again
│   ├── Overloaded     -1008: "try again in a few minutes"
│   ├── Spent          the run's time is over before the exchange has answered
│   └── Interrupted    the run was stopped from outside
├── GiveUp             this symbol only: asking again gives the same answer
│   ├── UnknownSymbol  the exchange does not know it
│   └── RequestRefused the exchange refused the request: our mistake
└── Unusable           nothing was asked: the reader must act first
    ├── BadParameter   a parameter or setting
    ├── DatabaseBusy   another process holds the file
    ├── BadDatabase    no DuckDB file, or one from a newer version
    ├── NotStored      a reader asks for what is not there
    ├── NoServer       a server that is needed does not answer, or can't be started
    └── NoRoom         too little free disk
"""

from __future__ import annotations


class KlinesError(Exception):
    """The root; its text is a sentence for a person."""


class Retry(KlinesError):
    """Ask again, soon."""


class Unreachable(Retry):
    """No answer came."""


class ServerFault(Retry):
    """The exchange answered that it can't answer now."""


class BadAnswer(Retry):
    """The answer is no list of klines."""


class BadArchive(Retry):
    """A file of the archive is not what its checksum or name says."""


class Stop(KlinesError):
    """Nobody asks any more in this run."""


class RateLimited(Stop):
    """The exchange wants no request of this pool before `until_ms`; `banned` when it said 418."""

    def __init__(self, message: str, until_ms: int, *, banned: bool = False) -> None:
        super().__init__(message)
        self.until_ms = until_ms
        self.banned = banned


class Blocked(Stop):
    """This address is refused; `remember` when (403) it lifts by itself after a while."""

    def __init__(self, message: str, *, remember: bool) -> None:
        super().__init__(message)
        self.remember = remember


class ExchangeDown(Stop):
    """Maintenance, unreachable, or no symbol published."""


class Later(KlinesError):
    """Not in this run: the next one asks again."""


class Overloaded(Later):
    """The exchange sheds load (-1008)."""


class Spent(Later):
    """The run's time is over, or will be before there is weight again."""

    def __init__(self) -> None:
        super().__init__("the exchange did not answer within the run's time")


class Interrupted(Later):
    """The run was stopped from outside: by Ctrl-C, or cancelled."""


class GiveUp(KlinesError):
    """Asking again for this symbol gives the same answer."""


class UnknownSymbol(GiveUp):
    """The exchange does not know the symbol (-1121)."""


class RequestRefused(GiveUp):
    """The exchange refused the request as malformed."""


class Unusable(KlinesError):
    """The reader must act before anything is asked."""


class BadParameter(Unusable):
    """A parameter or setting that can't be used; the text names it and says what is allowed."""


class DatabaseBusy(Unusable):
    """Another process held the file until the deadline; the text names it."""


class BadDatabase(Unusable):
    """The file is no DuckDB database, or one that this version can't read."""


class NotStored(Unusable):
    """What a reader asked for is not there; the text says what is."""


class NoServer(Unusable):
    """A server that is needed does not answer, or can't be started; the text says what to do."""


class NoRoom(Unusable):
    """The disk has too little room for what would be written."""
