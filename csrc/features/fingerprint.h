/* fingerprint.h - what a program says with each request of a kind, and all that follows from it: kept for the next request that says the same.
 *
 * Law: most of what a model looks at follows from the program alone: from its agent, the names of its headers with their order and case, the
 * values by which it says what it is and what it wants, and the request's situation (situation.h). These are the print of a request. They
 * are compared byte for byte, and all that is kept with them follows from them, from the shape of a model, and for scores from the model: so a
 * request gets the same whether it is the first of its print or not.
 *
 * Bounds: XB_PRINTS prints, in sets; a new one takes the place of another of its set, in turns, when it comes for the second time. So who sends
 * ever new ones drives out nobody's, and who repeats them makes others' be made anew, as without a memo, and no more. A print is not kept where its agent is not, where names are unknown, there twice, or more than a
 * request lists, and where its values are longer than XB_PRINT_TEXT.
 */
#ifndef XB_FINGERPRINT_H
#define XB_FINGERPRINT_H

#include "features/featurizer.h"

/* The place of a request's print. Of one that is kept, `known` is true and everything in it is valid; a new one has its key alone. NULL: it
 * is not kept. `f` has its situation; `agent` and `shape` are the numbers of the agent and of the shape (featurizer.h). */
xb_print *xb_print_of(xb_prints *all, const xb_request *r, const xb_facts *f, uint64_t agent, uint32_t shape, bool *known);

/* May a word of this bucket be among those of the print? If not, it certainly is not. */
static inline bool xb_print_may_hold(const xb_print *p, uint32_t bucket)
{
    return p->filter[bucket / 64 % XB_PRINT_FILTER] >> (bucket % 64) & 1;
}

#endif
