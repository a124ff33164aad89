/* handshake.h - the TLS handshake of the visitor's program: the proxy's texts -> plain facts.
 *
 * Law: all facts of a handshake that other code needs are in xb_handshake: 40 bytes, no pointer, no padding, so it can be
 * copied, compared with memcmp and kept in shared memory for the rest of the connection. It is made from the texts in one pass
 * of bounded time. Values that a client picks at random (GREASE, RFC 8701) are replaced by one value before anything is hashed,
 * and names become code points (suites.def), so a client looks the same on all of its connections and behind any proxy,
 * whatever its version. The agent is not known here: csrc/features/claims.c compares the two.
 *
 * Forms that are read. Protocol: "TLSv1.3", as nginx's $ssl_protocol. Lists: members separated by colons or commas, each a name
 * of OpenSSL's or a code point "0x11ec" (nginx's $ssl_ciphers and $ssl_curves; HAProxy's ssl_fc_cipherlist_str, which
 * writes "UNKNOWN(0a0a)" for what it does not know); or four hex digits for each member without separators, as HAProxy's
 * ssl_fc_cipherlist_hex and the converter hex have it. ALPN: the protocol that was agreed on ("h2"); "-" says that none was.
 * Reused: "r" or ".", as nginx's $ssl_session_reused. An empty text is absent; it does not mean "none".
 */
#ifndef XB_HANDSHAKE_H
#define XB_HANDSHAKE_H

#include "base/span.h"

/* The texts. A span without a place (`at` NULL) or without bytes is absent. */
typedef struct {
    xb_span protocol, ciphers, curves, alpn, reused, sigalgs;
} xb_tls;

enum { XB_MAX_LIST = 8192, XB_MAX_SUITES = 255 }; /* bytes and members of a list that are read; a longer list sets XB_TLS_CUT */

/* Bits of xb_handshake.known: which texts were there and could be read. */
enum {
    XB_KNOWS_PROTOCOL = 1 << 0,
    XB_KNOWS_CIPHERS = 1 << 1,
    XB_KNOWS_CURVES = 1 << 2, /* never for a session resumed under TLS 1.2: the server does not keep them */
    XB_KNOWS_ALPN = 1 << 3,
    XB_KNOWS_REUSED = 1 << 4,
    XB_KNOWS_SIGALGS = 1 << 5
};

/* Bits of xb_handshake.marks: what the lists hold, GREASE left out where order counts. A bit about an absent list is 0. */
enum {
    XB_TLS_GREASE_CIPHER = 1 << 0,
    XB_TLS_GREASE_CIPHER_FIRST = 1 << 1,
    XB_TLS_GREASE_CURVE = 1 << 2,
    XB_TLS_GREASE_CURVE_FIRST = 1 << 3,
    XB_TLS_HYBRID = 1 << 4,      /* a post-quantum group: X25519MLKEM768 or a similar one */
    XB_TLS_X448 = 1 << 5,
    XB_TLS_X448_EARLY = 1 << 6,  /* right behind P-256 */
    XB_TLS_P256_FIRST = 1 << 7,  /* the groups begin with P-256 */
    XB_TLS_P521 = 1 << 8,
    XB_TLS_P521_EARLY = 1 << 9,  /* before P-384 */
    XB_TLS_FFDHE = 1 << 10,      /* ffdhe2048 or ffdhe3072 */
    XB_TLS_FFDHE_BIG = 1 << 11,  /* ffdhe4096, 6144 or 8192 */
    XB_TLS_13 = 1 << 12,         /* suites of TLS 1.3 */
    XB_TLS_13_LAST = 1 << 13,    /* they come after older ones */
    XB_TLS_13_CCM = 1 << 14,     /* TLS_AES_128_CCM_SHA256 or its relative among them */
    XB_TLS_13_NSS = 1 << 15,     /* the first two of them are AES-128, ChaCha20 */
    XB_TLS_13_OPENSSL = 1 << 16, /* ... AES-256, ChaCha20 */
    XB_TLS_13_JAVA = 1 << 17,    /* ... AES-256, AES-128 */
    XB_TLS_CCM = 1 << 18,        /* AES in CCM mode before TLS 1.3 */
    XB_TLS_DSS = 1 << 19,
    XB_TLS_ARIA = 1 << 20,
    XB_TLS_CAMELLIA = 1 << 21,
    XB_TLS_CHACHA = 1 << 22,     /* ChaCha20 before TLS 1.3 */
    XB_TLS_CBC = 1 << 23,        /* any cipher in CBC mode */
    XB_TLS_CBC_SHA2 = 1 << 24,   /* ECDHE with AES-CBC and SHA-256 or SHA-384 */
    XB_TLS_ECDSA_CBC = 1 << 25,  /* ECDHE-ECDSA with AES-CBC and SHA-1 */
    XB_TLS_3DES = 1 << 26,
    XB_TLS_DHE = 1 << 27,        /* finite-field Diffie-Hellman */
    XB_TLS_SCSV = 1 << 28,       /* TLS_EMPTY_RENEGOTIATION_INFO_SCSV */
    XB_TLS_CUT = 1 << 29         /* a list beyond the bounds */
};

typedef enum {
    XB_ALPN_NONE, /* known: nothing was agreed on */
    XB_ALPN_H1,   /* http/1.1 or http/1.0 */
    XB_ALPN_H2,
    XB_ALPN_H3,
    XB_ALPN_OTHER
} xb_alpn;

/* The TLS library, by marks that only this library has. XB_STACK_NONE: no known library. */
typedef enum {
    XB_STACK_NONE,
    XB_STACK_OPENSSL,
    XB_STACK_GNUTLS,
    XB_STACK_NSS,      /* Firefox */
    XB_STACK_CHROMIUM, /* BoringSSL as Chromium uses it */
    XB_STACK_APPLE,
    XB_STACK_GO,
    XB_STACK_JAVA,
    XB_STACK_SCHANNEL, /* Windows */
    XB_STACK_RUSTLS,
    XB_N_STACKS
} xb_stack;

/* All zero: nothing is known. */
typedef struct {
    uint64_t ciphers, curves, sigalgs; /* a hash of each whole list, in its order; 0 where it is absent */
    uint32_t marks;                    /* XB_TLS_* */
    uint16_t protocol;                 /* spoken: 0x0304 for TLS 1.3; 0 where it is absent */
    uint16_t n_ciphers, n_curves, n_sigalgs; /* members of each list but GREASE, at most XB_MAX_SUITES */
    uint8_t known;                     /* XB_KNOWS_* */
    uint8_t alpn;                      /* xb_alpn */
    uint8_t reused;                    /* 1: the session is resumed */
    uint8_t stack;                     /* xb_stack */
} xb_handshake;

_Static_assert(sizeof(xb_handshake) == 40, "no padding: facts are compared and kept as bytes");

/* A connection, and the number of requests on it. */
typedef struct {
    uint64_t serial;   /* the proxy's number for it, $connection */
    uint32_t process;  /* of the proxy that has it, $pid; 0 where unknown */
    uint32_t requests; /* on it so far, including this one: 1 for the first; 0: unknown */
} xb_connection_id;

/* Is any of the texts there? */
static inline bool xb_tls_said(const xb_tls *tls)
{
    return tls->protocol.size || tls->ciphers.size || tls->curves.size || tls->alpn.size || tls->reused.size || tls->sigalgs.size;
}

/* Builds the table of names. Call once before anything else here; calling again does nothing. */
void xb_handshake_init(void);

/* The facts of these texts; all zero if every text is absent or unreadable. Never fails. */
void xb_handshake_of(const xb_tls *tls, xb_handshake *out);

/* "openssl", "gnutls", ...; "unknown" for XB_STACK_NONE. */
extern const char *const xb_stack_names[XB_N_STACKS];

/* Reads "PID-CONNECTION-REQUESTS", as nginx's files send it. False, and all zero, if it is anything else. */
bool xb_connection_id_parse(xb_span text, xb_connection_id *out);

#endif
