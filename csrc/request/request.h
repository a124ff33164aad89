/* request.h - the bytes of one request head, as spans. Log lines and the questions of proxies are read into the same struct.
 *
 * Law: no allocation, no copy, no judgement. Spans point into the caller's buffer and are valid as long as it is.
 *
 * One struct serves three sources: xb_request_parse fills it from an HTTP/1.x head, csrc/request/dialect.c then replaces the
 * proxy's own request by the visitor's, and csrc/request/logline.c and its kin fill it from a line of a log. What a source does not hold
 * stays absent: the bit of its group is missing in `present`.
 *
 * A visitor cannot hide a header behind many others: past XB_MAX_HEADERS, headers named in headers.def are still kept, one for
 * each name. The first header of a name counts; of X-Forwarded-For the last is kept too.
 */
#ifndef XB_REQUEST_H
#define XB_REQUEST_H

#include "base/hash.h"
#include "request/handshake.h"

#define XB_MAX_HEAD 65536  /* bytes of one head that are read */
#define XB_MAX_HEADERS 256 /* headers of one head that are read; past them only those of headers.def, one for each name */

typedef enum {
#define XB_HEADER(id, name, role) XB_H_##id,
#include "request/headers.def"
#undef XB_HEADER
    XB_H_COUNT,
    XB_H_OTHER = 255
} xb_header_id;

enum { XB_SEEN_WORDS = 2, XB_MAX_LISTED = 32 /* a power of two */, XB_LISTED_SMALL = 0x80 };
_Static_assert(XB_H_COUNT <= 64 * XB_SEEN_WORDS && (int)XB_H_COUNT < (int)XB_LISTED_SMALL, "header presence is a bit set, and a bit beside an id is free");

typedef struct {
    xb_span name;
    xb_span value; /* without the white space around it */
    uint8_t id;    /* xb_header_id */
    bool visitor;  /* the role is VISITOR */
} xb_header;

/* What the source of a request holds. The first six and the last are the groups of features.def. */
enum {
    XB_HAS_IP = 1 << 0,
    XB_HAS_UA = 1 << 1,
    XB_HAS_REFERRER = 1 << 2,
    XB_HAS_URL = 1 << 3,
    XB_HAS_HEADERS = 1 << 4,
    XB_HAS_CLIENT = 1 << 5,
    XB_HAS_ORDER = 1 << 6, /* the headers are in the order in which they were sent */
    XB_HAS_CASE = 1 << 7,  /* their names are in the case in which they were sent */
    XB_HAS_METHOD = 1 << 8, /* used only in `required` and `missing` */
    XB_HAS_TLS = 1 << 9     /* the handshake, as texts or as facts */
};

typedef struct {
    uint32_t present;  /* XB_HAS_* */
    uint32_t required; /* XB_HAS_*: what the asking proxy must send (dialect.h); 0 for a log */
    uint32_t missing;  /* XB_HAS_*: what is required and was not sent, or sent with two values; or what a truncated head may have held */
    xb_span ip;       /* the visitor's address, as text */
    xb_span method;
    xb_span uri;      /* path and query, as the visitor sent it */
    xb_span protocol; /* "HTTP/1.1", ... of the visitor's connection */
    xb_span scheme;   /* "http" or "https" of the visitor's connection */
    xb_span host;     /* the host that the visitor asked for */
    xb_span agent;
    xb_span referrer;
    xb_span policy;   /* the policy that the proxy asks for, by name; never the visitor's choice */
    xb_tls tls;       /* the handshake, if this question has it */
    xb_handshake handshake;   /* its facts, if they are known already; they override the texts. `known` 0: not known */
    xb_connection_id connection; /* `requests` 0: unknown */
    uint32_t files;           /* the version that the proxy's files report (dialect.h); 0: none */
    uint64_t seen[XB_SEEN_WORDS];  /* bit id % 64 of word id / 64: a header with this id is there */
    uint64_t again[XB_SEEN_WORDS]; /* and once more, with another value */
    uint16_t first[XB_H_COUNT];    /* headers[first[id]], valid where `seen` has the id */
    uint16_t late[XB_H_COUNT];     /* place in the head of a header past the bound, valid where first[id] >= XB_MAX_HEADERS */
    uint16_t n_late;
    uint16_t last_forwarded;       /* headers[last_forwarded], valid where `again` has X-Forwarded-For */
    uint32_t n_headers;            /* in their order; at most XB_MAX_HEADERS */
    uint32_t n_visitor;            /* of these, those of the visitor */
    uint8_t names[XB_MAX_LISTED];  /* the ids of the visitor's headers, in their order, where they are fewer than this; then zeros. With
                                      XB_LISTED_SMALL, the name begins with a small letter */
    uint32_t malformed;           /* lines without a colon */
    bool truncated;               /* more headers or bytes than the bounds */
    bool keepalive;               /* the connection may serve another request */
    bool body;                    /* the head announces a body */
    bool status_only;             /* the asker reads only the reply's status: a bot is refused in any mode of the policy */
    xb_header headers[XB_MAX_HEADERS + XB_H_COUNT]; /* from XB_MAX_HEADERS on, by id: those past the bound */
    uint8_t expected[XB_H_COUNT + 1]; /* kept from head to head: the id of the known name that came behind each, and first; it changes what
                                         parsing costs, and never the result */
} xb_request;

/* Builds the table of header names. Call once before anything else here; calling again does nothing. */
void xb_request_init(void);

/* Parses one head from buf[0, size).
 *
 * Returns the bytes of the head (> 0) when it is complete, XB_PARTIAL when more bytes are needed, XB_BAD when the
 * framing is broken: no method, target and HTTP/1.0 or HTTP/1.1 on the first line, more than 64 bytes of line breaks
 * before it, or contradictory or unreadable Content-Length. No other byte is refused: proxies forward control bytes and
 * bytes above 0x7f.
 * `seen_size` is how many bytes of this head an earlier call has seen, which returned XB_PARTIAL (0 at first): then only the new
 * bytes are looked at until a line that matters ends in them, so that a head that comes byte by byte costs linear time.
 * A head in pieces gets the same result as in one piece: a broken first line is XB_BAD with the byte that ends the line, a
 * broken length with the byte that ends the head, whatever the sizes of the pieces. After XB_PARTIAL and XB_BAD the request is
 * empty, as xb_request_clear leaves it: nothing of this head or of an earlier one is left in it. Never reads
 * outside buf[0, size). `r` must be all zero before its first use. */
enum { XB_PARTIAL = 0, XB_BAD = -1 };
long xb_request_parse(xb_request *r, const char *buf, size_t size, size_t seen_size);

/* The same for a head whose end lies beyond the XB_MAX_HEAD bytes given: the last line that is not whole is left out. */
long xb_request_parse_truncated(xb_request *r, const char *buf, size_t size);

/* Where the head ends: bytes up to and with its empty line, or 0 if that is not in buf[0, size). Looks from `from` on. */
size_t xb_head_end(const char *buf, size_t size, size_t from);

/* Adds a header. Beyond XB_MAX_HEADERS it sets `truncated`, and keeps only known names. For sources that hold headers as pairs. */
void xb_request_add(xb_request *r, xb_span name, xb_span value);

/* Headers whose names begin so are not the visitor's: the asking proxy adds them by itself. `prefix` is in small letters. */
void xb_request_disown(xb_request *r, xb_span prefix);

/* Empties the struct: no header, no field, nothing present. Clears only what the other functions read. */
void xb_request_clear(xb_request *r);

/* xb_hash of the name of a header. */
extern uint64_t xb_name_hashes[XB_H_COUNT]; /* of known ones, by id */
static inline uint64_t xb_name_hash(const xb_header *h) { return h->id == XB_H_OTHER ? xb_hash(h->name) : xb_name_hashes[h->id]; }

static inline bool xb_has(const xb_request *r, xb_header_id id) { return r->seen[id / 64u] >> (id % 64u) & 1; }

/* Are there several headers with this id, and do their values differ? */
static inline bool xb_differ(const xb_request *r, xb_header_id id) { return r->again[id / 64u] >> (id % 64u) & 1; }

/* The index of the first header with this id, which must be there. */
static inline uint32_t xb_place(const xb_request *r, xb_header_id id)
{
    return r->first[id] < XB_MAX_HEADERS ? r->first[id] : r->late[id];
}

/* The first value of a header, or an absent span. */
static inline xb_span xb_value(const xb_request *r, xb_header_id id)
{
    return xb_has(r, id) ? r->headers[r->first[id]].value : (xb_span){NULL, 0};
}

#endif
