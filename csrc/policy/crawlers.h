/* crawlers.h - which crawler a request comes from: what its agent says, and what its address proves.
 *
 * Law: an agent's word is a claim and proves nothing. An address proves a crawler if it lies in one of the lists that the
 * crawler's owner publishes; it disproves one if it lies in none of them, all of them are recent, and it is an address of the
 * public internet. Where the lists say nothing, the DNS does (lookups.h): an address is proven if a domain of the crawler's
 * owner confirms it, disproved if none does. What was not looked up yet is asked for, and nobody waits. Everything else leaves
 * the claim open. No allocation; a request costs the logarithm of the number of ranges, and one bit looked at for each word of
 * its agent; one that says to be a crawler of the DNS also a probe of a table.
 *
 * Of a request that is signed (RFC 9421) the host is asked, which checks the signature: it is the only call out of here, and none
 * is made for a request without Signature and Signature-Input.
 *
 * The catalogue lies in the image of policies (policy.h). Layout, at multiples of 8; offsets count from the image's beginning:
 *   head      struct xb_catalogue
 *   and what its offsets name:
 *   crawlers  struct xb_crawler[n_crawlers]
 *   actions   u8[n_policies][n_crawlers]        xb_action, by policy
 *   v4        u32 first[n_v4], u32 last[n_v4], then (at holders4) struct xb_holder[n_v4]
 *   v6        struct xb_range6[n_v6], then (at holders6) struct xb_holder[n_v6]
 *   claims    struct xb_claim[2^claim_bits]     open addressing by the top bits of the hash of the first word
 */
#ifndef XB_CRAWLERS_H
#define XB_CRAWLERS_H

#include "board/lookups.h"
#include "features/facts.h"
#include "policy/image.h"

enum { XB_MAX_PURPOSE = 16 /* bytes, with its closing zero */, XB_MAX_SOURCES = 64, XB_WORD_BITS = 4096 };

/* What a policy does with a crawler that is proven; XB_DENIED also holds for one that only says so. */
typedef enum { XB_SCORED, XB_LET_IN, XB_DENIED, XB_N_ACTIONS } xb_action;

typedef struct {
    char name[XB_MAX_NAME];
    char purpose[XB_MAX_PURPOSE];
    uint64_t sources; /* a bit for each list of networks that proves it; 0: its owner publishes none */
    uint64_t recent;  /* those of `sources` that are new enough for an absence to count */
    uint64_t domains; /* a bit for each domain that proves it in the DNS; 0: none does, or nothing is to be looked up */
    uint32_t search;  /* the crawler of a search engine */
    uint32_t reserved;
} xb_crawler;

/* Which lists hold the addresses of a range. */
typedef struct {
    uint64_t sources;
    uint32_t silent; /* whose they are when the agent says nothing: a crawler by number, or n_crawlers */
    uint32_t reserved;
} xb_holder;

/* A word that a crawler says. */
typedef struct {
    uint64_t hash; /* of the first word */
    xb_text text;  /* all of it, lower case; size 0: a free slot */
    uint32_t crawler;
    uint32_t reserved;
} xb_claim;

typedef struct {
    uint32_t n_crawlers, n_v4, n_v6;
    uint32_t claim_bits;
    uint64_t crawlers, actions, v4, holders4, v6, holders6, claims; /* offsets */
    uint64_t words[XB_WORD_BITS / 64]; /* a bit for the top 12 bits of each first word's hash */
} xb_catalogue;

_Static_assert(sizeof(xb_crawler) == 80 && sizeof(xb_holder) == 16 && sizeof(xb_claim) == 24 && sizeof(xb_catalogue) == 584,
               "no padding");

typedef struct xb_signer xb_signer;

/* An opened catalogue: pointers into the image. */
typedef struct {
    const char *image;
    const xb_catalogue *head; /* NULL: there is none */
    const xb_crawler *crawler;
    const uint8_t *action;
    const uint32_t *v4;
    const xb_range6 *v6;
    const xb_holder *holder4, *holder6;
    const xb_claim *claim;
    const xb_lookups *lookups; /* set by the host after opening; NULL: what needs the DNS is unproven */
    xb_lookups *asks; /* likewise: where questions for it are put, the same table or another; NULL: none are */
    const xb_signer *signer; /* likewise; NULL: signatures are not looked at */
} xb_crawlers;

/* From the weakest to the strongest: of several crawlers that an agent names, the one with the strongest counts. */
typedef enum {
    XB_NO_CLAIM,
    XB_CLAIMED,   /* its owner publishes no proof, or it is in the DNS and nothing is to be looked up */
    XB_UNPROVEN,  /* the proof could not be tried: no address, one of a private network, a list that is missing or old, or no
                     answer from the DNS */
    XB_DISPROVED, /* tried, and the answer was no */
    XB_PROVEN
} xb_proof;

typedef struct {
    const xb_crawler *crawler; /* NULL with XB_NO_CLAIM */
    xb_proof proof;
    bool excused; /* unproven, and a search engine's by its word: its proof is not there yet, which is not the visitor's fault */
} xb_identity;

/* Who checks signatures. `check` fills the number of the crawler whose key it is, and returns XB_PROVEN or XB_DISPROVED, XB_UNPROVEN
 * if it could not be tried, or XB_NO_CLAIM if the signature is no concern of ours. */
struct xb_signer {
    xb_proof (*check)(const xb_signer *self, const xb_request *r, uint32_t *crawler);
};

/* Opens the catalogue at offset `at` of an image of `total` bytes that has `n_policies` policies. Returns NULL, or why it is refused. */
const char *xb_crawlers_open(xb_crawlers *c, const char *image, uint64_t total, uint64_t at, uint32_t n_policies);

/* The lists that hold an address, or NULL. */
const xb_holder *xb_holder_of(const xb_crawlers *c, const xb_address *address);

/* Who sent this? `address` may have version 0: then nothing is proven, nor disproved. `holder`: of that address. */
xb_identity xb_identify(const xb_crawlers *c, const xb_address *address, const xb_holder *holder, const xb_agent_facts *agent);

/* Who signed this? XB_NO_CLAIM without a signature. */
xb_identity xb_identify_signer(const xb_crawlers *c, const xb_request *r);

/* An address that a visitor can have. One of a private network, the machine itself or a provider's inside (RFC 6890) is that of
 * a proxy that does not tell the visitor's: it says nothing about him. */
bool xb_is_public(const xb_address *address);

/* What the policy of this number does with the crawler. */
xb_action xb_action_of(const xb_crawlers *c, uint32_t policy, const xb_crawler *crawler);

#endif
