/* handshakes.h - what a connection's first request said of its TLS handshake, remembered for the rest of the connection.
 *
 * Law: a table of a fixed size in memory that all workers share. Any of them writes and reads it at any time, and none ever
 * waits: there is no lock that a process could die with. An entry is read and written word by word, and carries a checksum of
 * all of its words, keyed by a secret of the table: one that is torn, half written by a process that is gone, or mixed of two
 * writers is no entry. So an answer is right or absent, never wrong.
 *
 * Who may say a handshake: only the proxy, in headers that it always sets itself (dialect.h). The key is its process, its number
 * for the connection, and the listener that was asked, so that two proxies with listeners of their own never meet. A visitor
 * chooses none of these. With the handshake goes the visitor's address, and it is told to no other address: two proxies on one
 * listener may have the same numbers, as those of two containers do, and many visitors may come through one connection of a
 * CDN. Where in the table a key lies follows from a secret, so nobody pushes a chosen other one out.
 *
 * An entry ends when the connection's number comes again as a first request, when nobody asked for it for XB_HANDSHAKES_AGE
 * seconds, or when newer ones need its place: of the eight that a key may take, the one that was asked for the longest time
 * ago. What is not there is absent.
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
    uint32_t listener; /* that was asked; any number, 0 for a log */
    uint8_t ip[16];    /* the visitor's address, no part of the key; zeros where unknown */
} xb_handshake_key;

typedef enum {
    XB_HANDSHAKE_UNKNOWN,
    XB_HANDSHAKE_KNOWN,
    XB_HANDSHAKE_OTHERS /* the connection is known, as another address's */
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
    uint64_t secret[2]; /* drawn by whoever makes the table, before he shares it */
    uint64_t reserved[6];
    xb_handshake_set set[XB_HANDSHAKES_SETS];
} xb_handshakes;

_Static_assert(sizeof(xb_handshake_key) == 32 && sizeof(xb_handshake_key) % 8 == 0 && sizeof(xb_handshake) % 8 == 0, "whole words");
_Static_assert(sizeof(xb_handshake_set) % 64 == 0, "whole lines of the cache");

/* The key of a request's connection. */
xb_handshake_key xb_handshake_key_of(const xb_request *r, uint32_t listener);

/* The handshake of this connection, into `out`; all zero if it is not known to be this visitor's. */
xb_handshake_found xb_handshakes_find(xb_handshakes *t, const xb_handshake_key *key, uint32_t now, xb_handshake *out);

/* Remembers the handshake of a connection, in the place of what was known of it. One of which nothing is known is forgotten. */
void xb_handshakes_keep(xb_handshakes *t, const xb_handshake_key *key, uint32_t now, const xb_handshake *handshake);

/* What a host does with each request, before it is featurized: one that tells its connection's handshake is remembered, one that
 * does not gets what is known. Without xb_request.connection nothing happens; nor over plain http. False where the request may
 * have a handshake that nobody has told: a proxy that can should be asked for it. (Not where the connection is another
 * address's: then the handshake is nobody's, or a CDN's.) */
bool xb_handshakes_recall(xb_handshakes *t, uint32_t listener, uint32_t now, xb_request *r);

#endif
