/* handshakes.h - the TLS handshake that came with a connection's first request, remembered for the rest of the connection.
 *
 * Law: a table of a fixed size in memory that all workers share. Any worker may read and write it at any time, and none ever
 * waits: there is no lock, so no process can die while it holds one. An entry is read and written word by word, and carries a
 * checksum of all of its words, keyed by a secret of the table: an entry that is half written or mixed from two writers is
 * ignored. So an answer is right or absent, never wrong.
 *
 * A handshake comes only from the proxy, in headers that it always sets itself (dialect.h). The key is the proxy's process, its
 * number for the connection, and the listener that was asked, so two proxies with separate listeners never share an entry. A
 * visitor can choose none of these. The visitor's address is stored with the handshake, and a request from another address does
 * not get it: two proxies on one listener may use the same numbers, as those of two containers do, and many visitors may come
 * through one connection of a CDN. A secret decides where in the table a key is stored, so nobody can push out the entry of a
 * chosen connection.
 *
 * An entry ends when the connection's number comes again as a first request, when nobody asked for it for XB_HANDSHAKES_AGE
 * seconds, or when a newer one needs its place: of the eight places that a key may take, the least recently used is replaced. A
 * handshake that is not in the table is absent.
 *
 * Time is given by the caller, in seconds of any clock that all who share the table share; a log gives its lines' own.
 */
#ifndef XB_HANDSHAKES_H
#define XB_HANDSHAKES_H

#include "base/address.h"
#include "request/request.h"

enum {
    XB_HANDSHAKES_WAYS = 8,
    XB_HANDSHAKES_SETS = 4096,
    XB_HANDSHAKES_AGE = 3600 /* nginx's keepalive_time: an older connection is closed after its next answer */
};

typedef struct {
    uint64_t serial;   /* of the connection (xb_connection_id) */
    uint32_t process;  /* of the proxy */
    uint32_t listener; /* the listener that was asked; any number, 0 for a log */
    uint8_t ip[16];    /* the visitor's address, no part of the key; zeros where unknown */
} xb_handshake_key;

typedef enum {
    XB_HANDSHAKE_UNKNOWN,
    XB_HANDSHAKE_KNOWN,
    XB_HANDSHAKE_OTHERS /* the connection is known, but with another address */
} xb_handshake_found;

enum { XB_HANDSHAKE_WORDS = (sizeof(xb_handshake_key) + sizeof(xb_handshake)) / 8 };

typedef struct {
    uint64_t sum;                       /* of the words below, keyed; 0: empty */
    uint64_t words[XB_HANDSHAKE_WORDS]; /* an xb_handshake_key and an xb_handshake */
} xb_handshake_entry;

typedef struct {
    uint64_t tag[XB_HANDSHAKES_WAYS]; /* a keyed hash of each key, never 0; 0: empty. One line of the cache */
    uint32_t used[XB_HANDSHAKES_WAYS]; /* when each was last asked for */
    uint64_t reserved[4];
    xb_handshake_entry entry[XB_HANDSHAKES_WAYS];
} xb_handshake_set;

typedef struct {
    uint64_t secret[2]; /* random; set by the process that makes the table, before it shares it */
    uint64_t reserved[6];
    xb_handshake_set set[XB_HANDSHAKES_SETS];
} xb_handshakes;

_Static_assert(sizeof(xb_handshake_key) == 32 && sizeof(xb_handshake_key) % 8 == 0 && sizeof(xb_handshake) % 8 == 0, "whole words");
_Static_assert(sizeof(xb_handshake_set) % 64 == 0, "whole lines of the cache");

/* The handshake of this connection, into `out`; all zero if it is not known to be this visitor's. */
xb_handshake_found xb_handshakes_find(xb_handshakes *t, const xb_handshake_key *key, uint32_t now, xb_handshake *out);

/* Stores the handshake of a connection and replaces an earlier one. If nothing is known of the handshake, the entry is
 * removed. */
void xb_handshakes_keep(xb_handshakes *t, const xb_handshake_key *key, uint32_t now, const xb_handshake *handshake);

/* What a host does with each request before it is featurized: if the request has a handshake, it is stored; if not, the request
 * gets the stored one. Without xb_request.connection nothing happens; nor over plain http. False if there may be a handshake
 * that was not sent: a proxy that can send it should be asked. (True if the connection belongs to another address: then the
 * handshake is unknown, or that of a CDN.) */
bool xb_handshakes_recall(xb_handshakes *t, uint32_t listener, uint32_t now, xb_request *r);

#endif
