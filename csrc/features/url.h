/* url.h - targets and referrers taken apart.
 *
 * Law: nothing is decoded here: what the visitor wrote is what is looked at.
 */
#ifndef XB_URL_H
#define XB_URL_H

#include "features/facts.h"

/* Takes a URL apart, and a target with its path; an absent one as an empty one. */
void xb_url_split(xb_span s, xb_url *u);
void xb_path_facts_of(xb_span uri, xb_path_facts *f);

/* The referrer of `f`, and the hashes of its host; an absent one as an empty one. */
void xb_referrer_of(xb_span s, xb_known_origin origins[XB_ORIGINS], xb_facts *f);

/* The upper half of the hash of a host, where a leading "www." is no part of it. */
uint32_t xb_host_hash(xb_span host);

/* A host without its port. */
xb_span xb_without_port(xb_span host);

/* A host without a "www." before it. */
xb_span xb_without_www(xb_span host);

#endif
