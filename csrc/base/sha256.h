/* sha256.h - SHA-256 (FIPS 180-4), for files that hosts without a library of digests have to check.
 *
 * Law: a pure function of the bytes that were added; no allocation. For a check when a file is loaded, never for a request.
 */
#ifndef XB_SHA256_H
#define XB_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { XB_SHA256_SIZE = 32 /* bytes of a digest */, XB_SHA256_BLOCK = 64 };

typedef struct {
    uint32_t state[8];
    uint64_t size; /* bytes so far */
    uint8_t block[XB_SHA256_BLOCK]; /* the last, unfinished one */
} xb_sha256;

void xb_sha256_init(xb_sha256 *h);
void xb_sha256_add(xb_sha256 *h, const void *bytes, size_t size);

/* The digest of all that was added; `h` is used up. */
void xb_sha256_end(xb_sha256 *h, uint8_t digest[XB_SHA256_SIZE]);

#endif
