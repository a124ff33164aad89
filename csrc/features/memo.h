/* memo.h - what was found in a text, kept for the next request that has the same text: most visitors' browsers say what others said
 * just before.
 *
 * Law: a memo changes what a result costs, and never the result: a text is compared byte for byte. Its size is fixed, each text
 * has a few places, and a new text takes one of them from another, in turns. So who sends ever new texts makes everybody's be looked at
 * anew, as without a memo, and no more.
 */
#ifndef XB_MEMO_H
#define XB_MEMO_H

#include "base/hash.h"

enum { XB_MEMO_TEXT = 384 /* bytes of a text that is kept, at most */, XB_MEMO_WAYS = 4 };

typedef struct {
    bool kept; /* false: nothing is */
    uint32_t size;
    char bytes[XB_MEMO_TEXT];
} xb_memo_text;

static inline uint64_t xb_memo_hash(xb_span s)
{
    const xb_span kept = {s.at, s.size < XB_MEMO_TEXT ? s.size : XB_MEMO_TEXT}; /* of a longer one, any hash will do */
    return xb_hash_keyed(0, kept, XB_GOLDEN);
}

/* The first of the `ways` places of a text among `n`; both are powers of two. */
static inline size_t xb_memo_set(uint64_t hash, size_t n, size_t ways) { return hash & (n - ways); }

static inline size_t xb_memo_place(xb_span s, size_t n) { return xb_memo_set(xb_memo_hash(s), n, XB_MEMO_WAYS); }

static inline bool xb_memo_holds(const xb_memo_text *m, xb_span s)
{
    return m->kept && m->size == s.size && memcmp(m->bytes, s.at, s.size) == 0;
}

/* Keeps a text and returns the copy; of a text that is too long, the text itself, and nothing is kept. */
static inline xb_span xb_memo_keep(xb_memo_text *m, xb_span s)
{
    m->kept = s.size <= XB_MEMO_TEXT;
    if (!m->kept)
        return s;
    m->size = (uint32_t)s.size;
    memcpy(m->bytes, s.at, s.size);
    return (xb_span){m->bytes, s.size};
}

#endif
