/* behaviour.h - from a request and what the table knows of its client (clients/clients.h) to what the rows of group `client` read.
 *
 * Law: what a request counts as, and which program it looks like, is decided here and nowhere else. Everything is of the time
 * before this request, but for the few facts of the request itself that rows cross with it.
 *
 * A page is a GET or HEAD of a path that looks like a page or a script. With the Accept by which browsers open pages it is one
 * whatever else it says: a header that anybody can add must not hide it. Without, it is none if Sec-Fetch-Dest is other than document, with
 * X-Requested-With, for a WebSocket, or if a page's script asks for star/star. A part has a path that ends as styles, scripts,
 * fonts and pictures do, and is not opened as a document; what no path tells, the content type of the answer tells later.
 *
 * A client whose first page was refused counts as one that opened a page, for rows that ask whether it did: it would have.
 *
 * A shape is made of the agent, the names of headers that headers.def knows (in their order, where it is known), the values of
 * Accept, Accept-Encoding and Accept-Language, and the lists of the handshake. Headers that come and go with the situation (Cookie,
 * Referer, conditions, caches, ranges, Origin and those of bodies and fetches) are left out, so all pages that one program opens have one shape.
 */
#ifndef XB_BEHAVIOUR_H
#define XB_BEHAVIOUR_H

#include "clients/clients.h"
#include "features/facts.h"

/* What is read of an entry that many clients share. */
typedef struct {
    float count[XB_N_TALLIES]; /* of all its clients */
    float fast;                /* of a shape and of the site; 0 of a network */
    float latest;              /* of its visitors, those who came moments ago (entry.h); 0 of the site */
    uint32_t distinct[2];      /* of a network: about how many agents, and addresses */
} xb_group_view;

/* What the rows of group `client` read. */
typedef struct {
    xb_client_view client;
    xb_group_view network, shape, site;
    bool browser;      /* the agent claims a browser, and neither a crawler nor a library */
    uint8_t what;      /* xb_visit_what: what this request counts as */
    bool cookie;       /* it has a cookie */
    bool referred;     /* it has a referrer */
    bool entry;        /* it opens a page below the root with neither cookie nor referrer */
    bool parts_told;   /* this site's visitors load parts here: whoever loads none is told from them. False where parts come from
                          elsewhere, or are not logged, and until ten clients did */
    bool cookies_told; /* this site's visitors bring cookies, likewise */
    bool outcomes_told; /* outcomes are known */
    uint32_t lag;      /* versions that the browser is behind those of this site's people; 0 if it is not, if nobody
                          can tell, and for clients that loaded a part */
    float growth;      /* of the shape's pages in the last minutes over their pace in the last hours, as a multiple of the site's; 0: unknown */
} xb_behaviour;

/* The keys of a request: 0 for what it does not hold. Without an address all are 0: the group is absent. Of the facts, those of
 * xb_facts_begin are enough. In two steps, as the sets of client and network are far away, and that of the shape, which many share, mostly is
 * not: `places` gets the sets, and their memory is asked for before the shape's key is made. */
void xb_client_keys_of(const xb_clients *t, const xb_facts *f, xb_client_keys *out, xb_client_places *places);

/* The request as it is counted. */
void xb_visit_of(const xb_facts *f, xb_visit *out);

/* What is known of the client before this request, which counts as `visit`. */
void xb_behaviour_of(const xb_clients *t, const xb_client_places *places, uint64_t now_ms, const xb_facts *f, const xb_visit *visit,
                     xb_behaviour *out);

typedef enum { XB_PROVEN_NOTHING, XB_PROVEN_VISITOR, XB_PROVEN_FALSE } xb_proven;

/* Has this client shown, before this request, that somebody's browser visits this site? VISITOR: it claims a browser, opened a page from
 * another page of this site, loaded a part, and brought a cookie back that it did not come with. FALSE: this request opens a page
 * and contradicts its agent, which undoes what was and will be given. A program that drives a browser can give it, too: so it may
 * help to find how people here score, and clears nobody. */
xb_proven xb_behaviour_proves(const xb_behaviour *b, const xb_facts *f);

#endif
