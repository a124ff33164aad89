/* featurizer.h - from a request to its feature vector.
 *
 * Law: features.def is the only list of features; everything about it is made from its rows here. The same function
 * serves training and serving, so there is no second featurizer to agree with.
 */
#ifndef XB_FEATURIZER_H
#define XB_FEATURIZER_H

#include "features/behaviour.h"
#include "features/memo.h"

typedef enum {
#define XB_FEATURE(name, group, version, expression, doc) XB_F_##name,
#define XB_FAMILY(name, group, version, doc)
#include "features/features.def"
#undef XB_FEATURE
#undef XB_FAMILY
    XB_N_DENSE
} xb_feature_id;

enum { XB_ROW_NAME = 28 }; /* bytes of a row's name, with the zero that ends it */

/* The rows that follow from a program's print stand in two runs: those of the agent, and those of the headers. */
enum { XB_FIRST_OF_UA = XB_F_ua_empty, XB_BEHIND_UA = XB_F_ip_1, XB_FIRST_OF_HEADERS = XB_F_hdr_count, XB_BEHIND_HEADERS = XB_F_tls_13 };
enum { XB_FIRST_OF_TLS = XB_BEHIND_HEADERS, XB_FIRST_OF_CLIENT = XB_F_cl_no_part_2 /* the rows of the client, which stand last */ };
/* Arrays of dense features are padded, so that four rows can be read from any of them on. */
enum { XB_PADDED_DENSE = XB_N_DENSE + 3 };

typedef enum {
#define XB_FEATURE(name, group, version, expression, doc)
#define XB_FAMILY(name, group, version, doc) XB_T_##name,
#include "features/features.def"
#undef XB_FEATURE
#undef XB_FAMILY
    XB_N_FAMILIES
} xb_family_id;

typedef struct {
    const char *name, *doc;
    uint32_t group;   /* one XB_HAS_* bit */
    uint32_t version; /* of what the row computes; 1 and up */
} xb_feature_row;

extern const xb_feature_row xb_feature_rows[XB_N_DENSE];
extern const xb_feature_row xb_family_rows[XB_N_FAMILIES];

/* A set of host names that travels in the model: the upper halves of their hashes, ascending. A host that is not in the
 * set is taken for known with probability count / 2^32. */
typedef struct {
    const uint32_t *hash; /* ascending */
    uint32_t count;       /* 0: no set, the feature is absent */
} xb_hosts;

/* Is the host with this xb_host_hash in the set? */
bool xb_hosts_know(const xb_hosts *hosts, uint32_t host_hash);

/* What a model asks of the featurizer. */
typedef struct {
    unsigned k;        /* 2^k buckets */
    uint32_t families; /* bit i: words of family i count. A family that training did not see must not fall into buckets
                          that others learned. */
    uint64_t salt[XB_N_FAMILIES]; /* what keeps equal words of two families apart: xb_family_salt (words.h) of the model's number for it */
    xb_hosts hosts;
} xb_shape;

enum { XB_ALL_FAMILIES = (1 << XB_N_FAMILIES) - 1 };

enum { XB_MIN_K = 8, XB_MAX_K = 20, XB_MAX_TOKENS = 512 };

/* At most so many headers whose names are not in headers.def become words: made-up ones must not outweigh the rest. */
enum { XB_MAX_NAMED = 32 };

/* One hashed word of a request. A bucket appears once: the first word that falls into it names it. */
typedef struct {
    uint32_t bucket; /* 0 to 2^k - 1 */
    uint16_t word;   /* which one: of ip_net, the bits of the network; of ua_word and url_word, the place among the words of the facts; of hdr_*,
                        the place among the headers that have words (words.c); the other families have one */
    uint8_t family;  /* xb_family_id */
} xb_token;

enum { XB_AGENTS = 128 /* that are kept; a power of two */, XB_AGENT_WAYS = 8 };

typedef struct {
    xb_memo_text text;
    uint64_t number;      /* of its own, as long as it is kept; 0 of one that is too long to be kept */
    xb_agent_facts facts; /* of the text that is kept */
} xb_known_agent;

enum {
    XB_PRINTS = 256 /* that are kept; a power of two */,
    XB_PRINT_WAYS = 8,
    XB_PRINT_VALUES = 8,
    XB_PRINT_TEXT = 384 /* bytes of its values, at most */,
    XB_PRINT_FILTER = 64 /* words of 64 bits */,
    XB_PRINT_WORDS = XB_MAX_WORDS + 2 * (XB_MAX_LISTED - 1) + 2 /* of the agent; of names and pairs; of values */
};

/* What a print is found by, beside its values (fingerprint.h). */
typedef struct {
    uint64_t agent;                  /* xb_known_agent.number */
    uint32_t shape;                  /* the number of the shape */
    uint32_t situation;              /* xb_facts.situation */
    uint16_t size[XB_PRINT_VALUES];  /* bytes of each value, or UINT16_MAX: absent */
    uint8_t names[XB_MAX_LISTED];    /* as in the request */
} xb_print_key;
_Static_assert((int)XB_FIRST_OF_UA == 0, "the rows of the agent stand first");
_Static_assert(sizeof(xb_print_key) == 64, "no padding: keys are compared as bytes");

/* What a print gives with a model: what its rows and words add to the margin, and the largest part of it. */
typedef struct {
    double sum, strongest; /* `strongest` 0: nothing speaks for a bot */
    int reason;            /* as in xb_verdict; -1: none */
} xb_part;

/* A print, and what follows from it. */
typedef struct {
    xb_print_key key;
    char text[XB_PRINT_TEXT]; /* the values, one behind the other */
    xb_value_facts accept, encodings, brands;
    uint64_t odd;             /* as in xb_facts, without those of the handshake */
    uint64_t scored_by;       /* the number of the model that gave `part`; 0: none */
    xb_part part;
    uint32_t n_tokens;
    double of_agent[XB_BEHIND_UA - XB_FIRST_OF_UA], of_headers[XB_BEHIND_HEADERS - XB_FIRST_OF_HEADERS]; /* its rows */
    xb_token tokens[XB_PRINT_WORDS];
    uint64_t filter[XB_PRINT_FILTER]; /* bit bucket % 4096: of a word among them */
} xb_print;

typedef struct {
    uint64_t tag[XB_PRINTS];  /* a hash of each key; 0: no print */
    uint64_t once[XB_PRINTS]; /* those of prints that were there once, by their lowest bits */
    uint32_t made;
    xb_print print[XB_PRINTS];
} xb_prints;

typedef struct {
    double dense[XB_PADDED_DENSE]; /* by xb_feature_id; NAN: absent. Without the rows of a print that is kept: see xb_row */
    uint32_t n_held;               /* dense rows from here on are absent */
    uint32_t n_said;               /* of the tokens, those that follow from the print: the first ones */
    uint32_t n_tokens;
    bool truncated;           /* more than XB_MAX_TOKENS words */
    uint32_t absent;          /* XB_HAS_*: of these groups, the rows are NAN, as a request without them left them */
    xb_token tokens[XB_MAX_TOKENS];
    xb_facts facts;
    xb_behaviour behaviour;   /* valid where the group `client` is present */
    xb_print *print;          /* that of this request; NULL: it is not kept */
    uint64_t agent_hash[XB_AGENTS]; /* xb_memo_hash of each text, so that only the right one is looked at */
    xb_known_agent agents[XB_AGENTS];
    uint64_t new_agents;
    xb_known_origin origins[XB_ORIGINS];
    xb_known_values values;
    uint32_t shapes;          /* the number of the shape that was last */
    xb_shape shape;
    xb_prints prints;
    uint64_t taken[(1u << XB_MAX_K) / 64]; /* buckets of this request, but those of a print that is kept; all zero between requests */
} xb_vector;

/* The value of a dense row; NAN: absent. */
static inline double xb_row(const xb_vector *v, size_t i)
{
    if (v->print && i < XB_BEHIND_UA)
        return v->print->of_agent[i];
    if (v->print && i >= XB_FIRST_OF_HEADERS && i < XB_BEHIND_HEADERS)
        return v->print->of_headers[i - XB_FIRST_OF_HEADERS];
    return v->dense[i];
}

/* Call once before anything else; calling again does nothing. */
void xb_init(void);

/* Fills the vector. `v` must be all zero before its first use. The group `client` is absent. */
void xb_featurize(const xb_request *r, const xb_shape *shape, xb_vector *v);

/* A look into a table of clients. The first two are given; the rest is what a request's client is in it. */
typedef struct {
    const xb_clients *table;
    uint64_t now_ms;
    xb_client_keys keys;
    xb_client_places places;
    xb_visit visit;
} xb_client_look;

/* The same with the group `client`, of what the table knows before this request, if the request has an address. Fills the rest of
 * `look`, by which the request can be counted then (xb_clients_count); without an address its keys are 0. */
void xb_featurize_client(const xb_request *r, const xb_shape *shape, xb_client_look *look, xb_vector *v);

#endif
