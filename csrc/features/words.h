/* words.h - from a request's facts to its hashed words.
 *
 * Law: which words a family has is stated here; where one falls follows from its hash, its family and the model's shape. A word that
 * is the same for many requests (a known header's name, a pair of them, a word of an agent that came before) is hashed once: its bucket
 * is kept.
 */
#ifndef XB_WORDS_H
#define XB_WORDS_H

#include "features/featurizer.h"

/* The salt of the family that a model names as its i-th. */
uint64_t xb_family_salt(uint32_t i);

/* The shape of a model with all rows of this program in their order. */
xb_shape xb_shape_of(unsigned k, uint32_t families, xb_hosts hosts);

/* Empties v->tokens. */
void xb_words_forget(xb_vector *v);

/* Fills v->tokens, which are empty, by v->facts; `agent` is the one that they point to. */
void xb_words_of(const xb_shape *shape, xb_known_agent *agent, xb_vector *v);

/* Writes a token of `v` as text ("curl", "accept>user-agent", "192.0.2.0/24"), at most size - 1 bytes and a zero; only
 * letters of a reason come out (xb_is_reason), small ones for capitals and '_' for anything else. Returns the length. The request of
 * the vector must still be there. */
size_t xb_token_text(const xb_vector *v, const xb_token *t, char *out, size_t size);

#endif
