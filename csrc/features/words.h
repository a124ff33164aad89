/* words.h - from a request's facts to its hashed words.
 *
 * Law: which words a family has is stated here; where one falls follows from its hash, its family and the model's shape. Those of the agent and
 * of the headers come first: they follow from what the program says, and are kept with it (fingerprint.h).
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

/* Fills v->tokens, which are empty, with the words of the agent and of the headers, by v->facts. */
void xb_words_said(const xb_shape *shape, xb_vector *v);

/* Keeps these words with their print, which is that of the request from then on; and fills v->tokens, which are empty, with those that are kept. */
void xb_words_keep(xb_vector *v, xb_print *p);
void xb_words_recall(const xb_print *p, xb_vector *v);

/* Adds all other words. */
void xb_words_of(const xb_shape *shape, xb_vector *v);

/* Writes a token of `v` as text ("curl", "accept>user-agent", "192.0.2.0/24"), at most size - 1 bytes and a zero; only
 * letters of a reason come out (xb_is_reason), small ones for capitals and '_' for anything else. Returns the length. The request of
 * the vector must still be there. */
size_t xb_token_text(const xb_vector *v, const xb_token *t, char *out, size_t size);

#endif
