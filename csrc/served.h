/* served.h - what is served, as one image: a model and its policies. It is the board's file `served`, and the memory that the
 * sidecar's workers map.
 *
 * Law: it never changes. A process that finds a new file at its path (file.h) opens it beside the one in use, and switches
 * between two requests; a file that is refused changes nothing. There is always a policy named "default": it is for hosts and
 * listeners that name none.
 *
 * Layout:
 *   header    xb_served_header
 *   model     a model file (model.h), as it was on the disk
 *   policies  an image of policies (policy.h)
 */
#ifndef XB_SERVED_H
#define XB_SERVED_H

#include "base/span.h"
#include "board/file.h"

enum { XB_SERVED_VERSION = 1, XB_SERVED_HEADER = 192 };

typedef struct {
    xb_board_header board;
    uint64_t model, model_size;       /* where it begins in the file, a multiple of 8; bytes */
    uint64_t policies, policies_size; /* likewise */
    uint8_t reserved[32];
} xb_served_header;

_Static_assert(sizeof(xb_served_header) == XB_SERVED_HEADER, "the header has no padding");

extern const xb_board_kind xb_served_kind;

/* Bytes of the image of these parts, each at most 2^32 bytes. */
size_t xb_served_size(size_t model_size, size_t policies_size);

/* Writes the image of xb_served_size(...) bytes, with its digest. */
void xb_served_init(void *image, xb_span model, xb_span policies, uint64_t made, uint64_t booted);

/* Finds the parts of an image of exactly `size` bytes, aligned to 8; they point into it, and xb_model_open and xb_policies_open
 * check them next. Returns NULL, or why it is refused. `verified`: the digest was checked before, and nobody can have changed a
 * byte since, because the memory is sealed or private; then it is not computed again. */
const char *xb_served_open(const void *image, size_t size, bool verified, xb_span *model, xb_span *policies);

#endif
