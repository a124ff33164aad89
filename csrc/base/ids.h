/* ids.h - the id of a decision: twelve letters that name it, in the reply, on the page of a refusal and in the log of decisions.
 *
 * Law: of an id only two bits say anything, what became of the record (xb_fate); the other 58 are SipHash-1-3 (Aumasson and
 * Bernstein, 2012) of a count, by a key that each process draws at its start. So an id holds no address, tells nobody how many
 * there were, and cannot be guessed from others. Two decisions of a day with 10^8 have the same id with probability 0.02.
 */
#ifndef XB_IDS_H
#define XB_IDS_H

#include <stdint.h>

typedef struct {
    uint64_t key[2]; /* random; set by the host */
    uint64_t count;
} xb_ids;

/* What became of the record of a decision. */
typedef enum { XB_NO_LOG, XB_NOT_SAMPLED, XB_DROPPED, XB_RECORDED } xb_fate;

enum { XB_ID_SIZE = 12, XB_FATE_BITS = 2 };
#define XB_ID_MASK ((UINT64_C(1) << 60) - 4) /* the bits of an id that are random */

static inline void xb_sip_round(uint64_t v[4])
{
#define XB_ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))
    v[0] += v[1], v[1] = XB_ROTL(v[1], 13) ^ v[0], v[0] = XB_ROTL(v[0], 32);
    v[2] += v[3], v[3] = XB_ROTL(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = XB_ROTL(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = XB_ROTL(v[1], 17) ^ v[2], v[2] = XB_ROTL(v[2], 32);
#undef XB_ROTL
}

/* SipHash-1-3 of the eight bytes of a number, least first. */
static inline uint64_t xb_sip13(const uint64_t key[2], uint64_t number)
{
    uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                     key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    v[3] ^= number;
    xb_sip_round(v);
    v[0] ^= number;
    v[3] ^= UINT64_C(8) << 56;
    xb_sip_round(v);
    v[0] ^= UINT64_C(8) << 56;
    v[2] ^= 0xff;
    xb_sip_round(v);
    xb_sip_round(v);
    xb_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The next id; its fate is XB_NO_LOG. */
static inline uint64_t xb_ids_next(xb_ids *ids) { return xb_sip13(ids->key, ids->count++) & XB_ID_MASK; }

/* Writes XB_ID_SIZE letters, of those that nobody takes for another: no i, l, o, u. */
static inline void xb_id_text(uint64_t id, char *out)
{
    for (int i = XB_ID_SIZE; i-- > 0; id >>= 5)
        out[i] = "0123456789abcdefghjkmnpqrstvwxyz"[id & 31];
}

#endif
