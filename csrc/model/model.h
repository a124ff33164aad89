/* model.h - the model file (.xbot), as it lies in memory. docs/model-file.md describes the format for people.
 *
 * Law: a model that loads can be used without a further check. Only the arrays that scoring folds together are copied;
 * the image must outlive the model. The host checks the SHA-256 at the end (it has a library for that) before it calls
 * xb_model_open.
 *
 * Layout, little-endian, all parts at multiples of 8:
 *   header            XB_MODEL_HEADER bytes, struct xb_model_header
 *   rows              xb_model_row[n_dense + n_families]: dense rows, then families, by name and version
 *   mean   f64[n_dense]
 *   scale  f64[n_dense]
 *   lower  f64[n_dense]         the least and the largest value that training saw; a value beyond them is cut to them
 *   upper  f64[n_dense]
 *   weight f64[n_dense + 2^k]   as scikit-learn fitted them, not folded with mean and scale
 *   hosts  u32[n_hosts]         ascending, padded with zeros to a multiple of 8
 *   tests                       n_tests times: struct xb_self_test, parts[size], padded to a multiple of 8
 *   provenance                  JSON, padded with spaces to a multiple of 8
 *   digest u8[32]               SHA-256 of all bytes before it
 *
 * The file's order of rows is its own: loading maps them by name onto those of features.def.
 */
#ifndef XB_MODEL_H
#define XB_MODEL_H

#include "features/words.h"
#include "request/fields.h"

#define XB_MODEL_MAGIC "\x89XBOT\r\n\x1a" /* a transfer in text mode, or a cut at 7 bits, changes it */
enum { XB_MODEL_VERSION = 2, XB_MODEL_HEADER = 128, XB_MODEL_DIGEST = 32, XB_DTYPE_F64 = 1 };
enum { XB_MAX_MODEL_ROWS = 4096, XB_MAX_MODEL_FAMILIES = 32 }; /* of a file */

typedef struct {
    uint8_t magic[8];
    uint32_t version;
    uint32_t header_size;
    uint32_t n_dense;
    uint32_t n_families;
    uint32_t k;
    uint32_t dtype;
    uint32_t groups;   /* XB_HAS_* bits that training saw; the others have weight zero */
    uint32_t families; /* bit i: the file's family i was in training */
    uint32_t n_hosts;
    uint32_t n_tests;
    uint64_t tests_size;      /* bytes */
    uint64_t provenance_size; /* bytes, padding included */
    uint64_t file_size;       /* bytes, digest included */
    double bias;
    double threshold;  /* of the score: at or above is a bot */
    double a, b;       /* score = 1 / (1 + exp(a * margin + b)) */
    uint8_t reserved[24];
} xb_model_header;

_Static_assert(sizeof(xb_model_header) == XB_MODEL_HEADER && offsetof(xb_model_header, tests_size) == 48, "the header has no padding");

typedef struct {
    char name[XB_ROW_NAME]; /* [a-z0-9_], padded with zeros; one at least */
    uint32_t version;
} xb_model_row;

_Static_assert(sizeof(xb_model_row) == 32, "a row has no padding");

/* A request and the margin that the build which made the file gave it. Its parts are: ip, method, uri, protocol, scheme, host,
 * agent, referrer; where `headers` has XB_TEST_TLS, of the handshake protocol, ciphers, curves, ALPN, reused and signature
 * algorithms; then name and value of each header, in order. A part is a u32, its size, and the bytes; or UINT32_MAX: absent. */
typedef struct {
    double margin;
    uint32_t size;    /* bytes of the parts */
    uint32_t headers; /* xb_headers: what is known of them; and XB_TEST_TLS */
} xb_self_test;

enum { XB_TEST_TLS = 1 << 8 };

_Static_assert(sizeof(xb_self_test) == 16, "a self-test has no padding");

/* The arrays of dense features are in the program's order. A row that the file lacks has scale 1 and the rest 0, and so has
 * the padding. */
typedef struct {
    uint64_t number; /* of its own in this process; 0: not open */
    xb_model_header header;
    const xb_model_row *rows; /* into the image, as the file has them */
    const double *bucket;     /* into the image: one weight a bucket */
    xb_shape shape;
    const char *tests;
    xb_span provenance;
    double mean[XB_PADDED_DENSE], scale[XB_PADDED_DENSE], weight[XB_PADDED_DENSE];
    double lower[XB_PADDED_DENSE], upper[XB_PADDED_DENSE];
    double folded[XB_PADDED_DENSE]; /* weight / scale */
    char why[128];                  /* a refusal that names a row */
} xb_model;

/* Opens an image of exactly `size` bytes, aligned to 8. Returns NULL, or why it is refused, in plain words ("wrong magic",
 * "row ua_foo: ..."): a static text, or m->why. `r` and `v` are used to run the self-test: each request stored in the file is
 * featurized and scored, and must give the stored margin within 1e-9 (relative above 1). */
const char *xb_model_open(xb_model *m, const void *image, size_t size, xb_request *r, xb_vector *v);

/* A number by which this model is told from others: the first four bytes of its digest. */
static inline uint32_t xb_model_mark(const xb_model *m)
{
    uint32_t mark;
    memcpy(&mark, (const char *)m->rows - XB_MODEL_HEADER + m->header.file_size - XB_MODEL_DIGEST, sizeof mark);
    return mark;
}

#endif
