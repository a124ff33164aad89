/* The texts of a handshake and the name of a connection, divided by zero bytes. Whatever they are, the facts are well formed, and the
 * same with other values of GREASE. */
#include "fuzz.h"

/* The bytes up to the next zero, at the end of a piece of memory of exactly their size. */
static xb_span next(const uint8_t **p, const uint8_t *end, char **to_free)
{
    const uint8_t *from = *p, *stop = from < end ? memchr(from, 0, (size_t)(end - from)) : NULL;
    stop = stop ? stop : end;
    *p = stop < end ? stop + 1 : end;
    *to_free = exact_copy(from, (size_t)(stop - from));
    return (xb_span){*to_free, (size_t)(stop - from)};
}

static void require_well_formed(const xb_handshake *h)
{
    REQUIRE(!(h->known & XB_KNOWS_CIPHERS) == !h->ciphers && !(h->known & XB_KNOWS_CURVES) == !h->curves &&
            !(h->known & XB_KNOWS_SIGALGS) == !h->sigalgs, "a list that is told has a hash, and no other");
    REQUIRE(h->n_ciphers <= XB_MAX_SUITES && h->n_curves <= XB_MAX_SUITES && h->n_sigalgs <= XB_MAX_SUITES, "members beyond the bound");
    REQUIRE(h->stack < XB_N_STACKS && h->alpn <= XB_ALPN_OTHER && h->reused <= 1, "a value that is none");
    REQUIRE(h->stack == XB_STACK_NONE || h->known & XB_KNOWS_CIPHERS, "whose it is, without suites");
    REQUIRE(!(h->marks & XB_TLS_GREASE_CIPHER_FIRST) || h->marks & XB_TLS_GREASE_CIPHER, "GREASE is first and not there");
}

static bool divides(char c) { return c == ':' || c == ','; }

/* Members "0x?a?a" with another digit in both places. */
static void regrease(char *p, size_t size)
{
    for (size_t i = 0; i + 6 <= size; i++)
        if ((!i || divides(p[i - 1])) && (i + 6 == size || divides(p[i + 6])) && p[i] == '0' && p[i + 1] == 'x' && p[i + 2] == p[i + 4] && p[i + 3] == 'a' && p[i + 5] == 'a' && xb_hex(p[i + 2]) >= 0)
            p[i + 2] = p[i + 4] = p[i + 2] == '5' ? 'c' : '5';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *p = data, *end = data + size;
    char *owned[7];
    xb_tls tls;
    xb_span *const parts[] = {&tls.protocol, &tls.ciphers, &tls.curves, &tls.alpn, &tls.reused, &tls.sigalgs};
    xb_handshake first, second;
    xb_connection_id c;
    fuzz_init();
    for (size_t i = 0; i < 6; i++)
        *parts[i] = next(&p, end, &owned[i]);
    const xb_span connection = next(&p, end, &owned[6]);
    xb_handshake_of(&tls, &first);
    require_well_formed(&first);
    for (size_t i = 0; i < 6; i++)
        regrease(owned[i], parts[i]->size);
    xb_handshake_of(&tls, &second);
    REQUIRE(memcmp(&first, &second, sizeof first) == 0, "another value of GREASE is another handshake");
    REQUIRE(xb_connection_id_parse(connection, &c) == (c.requests > 0), "a connection without requests");
    for (size_t i = 0; i < 7; i++)
        free(owned[i]);
    return 0;
}
