# The table of what clients did before, in memory that processes share.
#
# Law: csrc/clients/clients.h is all that knows what is in it. Here a buffer becomes a table, and what it says of itself is read;
# the buffer is writable, stays where it is, and its size is sealed.

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from sidecar.core.csrc cimport (
    XB_CLIENTS_BY_ADDRESS, XB_CLIENTS_BY_NETWORK, XB_CLIENTS_WAYS, XB_MARK_BROUGHT, XB_MARK_DOUBTED, XB_MARK_PARTED, XB_MARK_REGRETTED, XB_OUTCOME_MOST,
    XB_TALLY_ARRIVED, XB_TALLY_LOADERS, XB_TALLY_NETWORKS, XB_TALLY_PAGES, XB_TALLY_PARTS, XB_TALLY_REQUESTS, XB_TALLY_VISITORS, xb_client_entry, xb_client_keys,
    xb_client_places, xb_client_read, xb_client_view, xb_clients, xb_clients_check, xb_clients_find, xb_clients_init, xb_clients_rekey,
    xb_clients_size, xb_outcome_take, xb_span, xb_time_ms, xb_visitors, xb_visitors_check, xb_visitors_init, XB_VISITORS_SETS, XB_VISITORS_WAYS,
)


CLIENTS_SECRET = 16  # bytes
OUTCOME_MOST = XB_OUTCOME_MOST


def clients_size(unsigned mebibytes):
    """The bytes of a table of about so many MiB."""
    return xb_clients_size(mebibytes)


cdef int _secret(bytes secret, uint64_t *words) except -1:
    if len(secret) != 2 * sizeof(uint64_t):
        raise ValueError(f"a secret has {2 * sizeof(uint64_t)} bytes, not {len(secret)}")
    memcpy(words, <const char *>secret, len(secret))


def make_clients(buffer, bytes secret not None, *, bint by_network=False):
    """Makes an empty table of zeroed memory, `clients_size` bytes; `secret` are CLIENTS_SECRET random bytes."""
    cdef uint64_t words[2]
    _secret(secret, words)
    view = memoryview(buffer)
    xb_clients_init(<xb_clients *>_shared(view, view.nbytes, "clients"), view.nbytes, words,
                    XB_CLIENTS_BY_NETWORK if by_network else XB_CLIENTS_BY_ADDRESS)


cdef xb_clients *_table(view) except NULL:
    """The table in a view. Raises BoardError with the reason when it is refused."""
    cdef void *at = _shared(view, view.nbytes, "clients")
    cdef const char *why = xb_clients_check(at, view.nbytes)
    if why is not NULL:
        raise BoardError(why.decode())
    return <xb_clients *>at


def rekey_clients(buffer, bytes secret not None, uint64_t now_ms):
    """Gives a table another secret, drawn at this time: what was counted before is no longer found. It may be in use."""
    cdef uint64_t words[2]
    _secret(secret, words)
    xb_clients_rekey(_table(memoryview(buffer)), words, now_ms)


def clients_have(buffer, bytes secret not None):
    """Has the table this very secret?"""
    cdef uint64_t words[2]
    _secret(secret, words)
    cdef xb_clients *table = _table(memoryview(buffer))
    return table.secret[0] == words[0] and table.secret[1] == words[1]


def read_clients(buffer):
    """What a table says of itself: `by_network`; `sets`, and `places`, those it has, and `entries`, those taken; `replaced`, entries that had to go;
    `keyed_ms`, when its secret was drawn, in milliseconds since 1970, 0: with the table;
    `outcomes` and `bad_outcomes`, messages about what happened to requests. Raises BoardError with the reason when it is refused."""
    cdef xb_clients *table = _table(memoryview(buffer))
    return {
        "by_network": table.privacy == XB_CLIENTS_BY_NETWORK, "sets": table.n_sets, "places": table.n_sets * XB_CLIENTS_WAYS, "entries": table.entries,
        "replaced": table.replaced, "keyed_ms": table.keyed_ms, "outcomes": table.outcomes, "bad_outcomes": table.bad_outcomes,
    }


def read_entry(buffer, str kind not None, uint64_t key, uint64_t now_ms):
    """What the table knows at this time under a record's key of this kind, "client", "network" or "shape"; None if nothing. Counts have
    faded; `clients` (new ones), `visitors` (of these, who opened a page), `loaders` (and a part) and `networks` are zero of a client, `loaded` (a part),
    `brought` (a cookie back), `doubted` and `regretted` (csrc/answer.h) false of all others."""
    cdef xb_client_keys keys
    cdef xb_client_view view
    cdef const xb_client_entry *entry
    keys.client = key if kind == "client" else 0
    keys.network = key if kind == "network" else 0
    keys.shape = key if kind == "shape" else 0
    cdef xb_client_places places = xb_clients_find(_table(memoryview(buffer)), &keys)
    entry = places.client if kind == "client" else places.network if kind == "network" else places.shape
    if key == 0 or entry is NULL:
        return None
    xb_client_read(entry, now_ms, &view)
    return {
        "requests": view.count[XB_TALLY_REQUESTS], "pages": view.count[XB_TALLY_PAGES], "parts": view.count[XB_TALLY_PARTS],
        "clients": view.count[XB_TALLY_ARRIVED], "visitors": view.count[XB_TALLY_VISITORS], "loaders": view.count[XB_TALLY_LOADERS], "networks": view.count[XB_TALLY_NETWORKS],
        "loaded": bool(view.marks & XB_MARK_PARTED), "doubted": bool(view.marks & XB_MARK_DOUBTED), "regretted": bool(view.marks & XB_MARK_REGRETTED),
        "brought": bool(view.marks & XB_MARK_BROUGHT),
    }


VISITORS_SIZE = sizeof(xb_visitors)
Visitor = namedtuple("Visitor", "margin network shape")


def make_visitors(buffer):
    """Makes an empty table of proven visitors (csrc/clients/visitors.h) of zeroed memory, VISITORS_SIZE bytes."""
    xb_visitors_init(<xb_visitors *>_shared(memoryview(buffer), sizeof(xb_visitors), "visitors"))


cdef xb_visitors *_visitors(view) except NULL:
    cdef void *at = _shared(view, sizeof(xb_visitors), "visitors")
    cdef const char *why = xb_visitors_check(at, view.nbytes)
    if why is not NULL:
        raise BoardError(why.decode())
    return <xb_visitors *>at


def read_visitors(buffer, uint32_t model, uint64_t since_ms):
    """A Visitor for each who is proven, asked for something at that time or later, and was judged by the model of this mark: the highest
    margin, and the keys of network and shape. Raises BoardError with the reason when the table is refused."""
    cdef xb_visitors *table = _visitors(memoryview(buffer))
    cdef list found = []
    for i in range(XB_VISITORS_SETS):
        for j in range(XB_VISITORS_WAYS):
            visitor = &table.set[i].visitor[j]
            if table.set[i].client[j] and visitor.model == model and visitor.last >= since_ms and visitor.margin == visitor.margin:
                found.append(Visitor(visitor.margin, visitor.network, visitor.shape))
    return found


cdef class Outcomes:
    """Takes messages about what happened to requests (csrc/clients/outcomes.h) into a table. `clients` and `clock` as of Answerer."""

    def __cinit__(self, clients, clock=None):
        self.clients = memoryview(clients)
        self.table = _table(self.clients)
        if clock is not None:
            self.clock = memoryview(clock)
            self.clock_ms = <const uint64_t *>_shared(self.clock, sizeof(uint64_t), "clock")

    cdef void take(self, const char *message, size_t size) noexcept nogil:
        cdef xb_span s
        s.at, s.size = message, size
        xb_outcome_take(self.table, s, xb_time_ms(self.clock_ms))
