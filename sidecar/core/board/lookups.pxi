# What the DNS said of addresses: the table of csrc/board/lookups.h, in memory that its user gives.
#
# Law: policies read answers and put questions in C; here are the calls of the process that looks up, and of whoever counts.

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sidecar.core.csrc cimport (
    XB_LOOKUP_ANSWERED, XB_LOOKUP_AWAY, XB_LOOKUP_SILENT, XB_LOOKUPS_QUESTIONS, XB_MAX_DOMAINS, xb_address, xb_address_parse, xb_lookup,
    xb_lookups, xb_lookups_ask, xb_lookups_find, xb_lookups_keep, xb_lookups_now, xb_lookups_take,
)

# Bytes of the table: all zero, but for the first, which are drawn.
LOOKUPS_SIZE, LOOKUPS_SECRET = sizeof(xb_lookups), 16
MAX_DOMAINS = XB_MAX_DOMAINS
_STATES = {"away": XB_LOOKUP_AWAY, "silent": XB_LOOKUP_SILENT, "answered": XB_LOOKUP_ANSWERED}


cdef class Lookups:
    """The table in a writable buffer of LOOKUPS_SIZE bytes, aligned to 8, which is kept."""

    def __cinit__(self, buffer):
        self.view = memoryview(buffer)
        self.table = <xb_lookups *>_shared(self.view, sizeof(xb_lookups), "lookups")

    def take(self, size_t most):
        """Up to `most` addresses that are asked for, as 4 or 16 bytes; they are asked for no more."""
        cdef xb_address found[64]
        cdef size_t i, n
        out = []
        while most:
            n = xb_lookups_take(self.table, &self.at, found, min(most, 64))
            if not n:
                break
            out += [(<const char *>found[i].bytes)[:4 if found[i].version == 4 else 16] for i in range(n)]
            most -= n
        return out

    def take_over(self, Lookups other not None, size_t most):
        """Puts up to `most` questions of another table here, as if they had been asked here."""
        cdef xb_address found[64]
        cdef size_t i, n = 1
        while most and n:
            n = xb_lookups_take(other.table, &other.at, found, min(most, 64))
            for i in range(n):
                xb_lookups_ask(self.table, &found[i])
            most -= n

    def keep(self, bytes address not None, str state not None, double seconds, uint64_t domains=0):
        """What came of a look-up: `answered` by the domains that confirm the address, a bit for each; `silent`, if nobody answered
        for it; `away`, if the resolver answers nothing. It is fresh for so many seconds."""
        cdef xb_address packed = _packed_address(address)
        cdef xb_lookup what
        what.domains, what.state, what.given = domains, _STATES[state], xb_lookups_now()
        what.until = what.given + <uint32_t>min(max(seconds, 0.0), 1e6)
        xb_lookups_keep(self.table, &packed, &what)

    def find(self, bytes address not None):
        """(state, domains, seconds that it is fresh) of what is known of an address; None: nothing."""
        cdef xb_address packed = _packed_address(address)
        cdef xb_lookup found
        cdef uint32_t now = xb_lookups_now()
        if not xb_lookups_find(self.table, &packed, now, &found):
            return None
        return next(name for name, state in _STATES.items() if state == found.state), found.domains, <int64_t>found.until - now

    def counts(self):
        """How many look-ups came to what, and how many questions were dropped, since the table was made."""
        looked = self.table.looked
        return {"confirmed": self.table.confirmed, "denied": looked[<int>XB_LOOKUP_ANSWERED] - self.table.confirmed,
                "silent": looked[<int>XB_LOOKUP_SILENT], "away": looked[<int>XB_LOOKUP_AWAY], "dropped": self.table.dropped}


cdef xb_address _packed_address(bytes address) except *:
    cdef xb_address out
    if len(address) not in (4, 16):
        raise ValueError("an address has 4 or 16 bytes")
    memset(&out, 0, sizeof(out))
    out.version = 4 if len(address) == 4 else 6
    memcpy(out.bytes, PyBytes_AS_STRING(address), len(address))
    return out
