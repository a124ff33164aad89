/* model_image.h - a small model file in memory, for tests of what uses one: 2^k buckets, no hosts, no self-tests.
 *
 * Mean 0, scale 1, bounds that no value passes, weights 0, bias 0, score = 1 / (1 + exp(-margin)), threshold 0.5; the test sets what it needs.
 */
#ifndef MODEL_IMAGE_H
#define MODEL_IMAGE_H

#include <stdlib.h>

#include "answer.h"

enum { IMAGE_K = XB_MIN_K, IMAGE_PROVENANCE = 8, IMAGE_UPPER = 2048 /* above what any feature gives */ };
enum {
    IMAGE_SIZE = XB_MODEL_HEADER + 32 * (XB_N_DENSE + XB_N_FAMILIES) + 8 * (5 * XB_N_DENSE + (1 << IMAGE_K)) + IMAGE_PROVENANCE +
                 XB_MODEL_DIGEST
};

typedef struct {
    xb_model_header header;
    xb_model_row rows[XB_N_DENSE + XB_N_FAMILIES];
    double mean[XB_N_DENSE];
    double scale[XB_N_DENSE];
    double lower[XB_N_DENSE];
    double upper[XB_N_DENSE];
    double weight[XB_N_DENSE];
    double bucket[1 << IMAGE_K];
    char provenance[IMAGE_PROVENANCE];
    char digest[XB_MODEL_DIGEST]; /* the host's to check */
} model_image;

_Static_assert(sizeof(model_image) == IMAGE_SIZE, "the image has no padding");

static inline void image_init(model_image *m)
{
    memset(m, 0, sizeof *m);
    m->header = (xb_model_header){
        .version = XB_MODEL_VERSION,
        .header_size = XB_MODEL_HEADER,
        .n_dense = XB_N_DENSE,
        .n_families = XB_N_FAMILIES,
        .k = IMAGE_K,
        .dtype = XB_DTYPE_F64,
        .groups = 0x7f,
        .provenance_size = IMAGE_PROVENANCE,
        .file_size = IMAGE_SIZE,
        .threshold = 0.5,
        .a = -1.0,
        .families = XB_ALL_FAMILIES,
    };
    memcpy(m->header.magic, XB_MODEL_MAGIC, 8);
    for (size_t i = 0; i < XB_N_DENSE; i++) {
        m->scale[i] = 1.0;
        m->upper[i] = IMAGE_UPPER;
    }
    for (size_t i = 0; i < XB_N_DENSE + XB_N_FAMILIES; i++) {
        const xb_feature_row *row = i < XB_N_DENSE ? &xb_feature_rows[i] : &xb_family_rows[i - XB_N_DENSE];
        memcpy(m->rows[i].name, row->name, strlen(row->name));
        m->rows[i].version = row->version;
    }
    memcpy(m->provenance, "{}      ", IMAGE_PROVENANCE);
}

/* Weights, means, scales and bounds that differ from one feature and bucket to the next; none is 0. */
static inline void image_fill(model_image *m)
{
    for (size_t i = 0; i < XB_N_DENSE; i++) {
        m->mean[i] = (double)(i % 7) / 3.0 - 1.0;
        m->scale[i] = 0.25 + (double)(i % 5);
        m->lower[i] = i % 11 == 3 ? 1.0 : 0.0;
        m->upper[i] = i % 3 == 0 ? IMAGE_UPPER : 1.0 + (double)(i % 13);
        m->weight[i] = ((double)(i * 37 % 101) - 50.3) / 40.0;
    }
    for (size_t i = 0; i < (size_t)1 << IMAGE_K; i++)
        m->bucket[i] = ((double)(i * 53 % 103) - 51.7) / 60.0;
    m->header.bias = -0.625;
}

#endif
