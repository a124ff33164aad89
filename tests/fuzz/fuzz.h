/* fuzz.h - what the targets share: a model, and a way to say what is broken. Built with the headers of tests/c. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "invariants.h"
#include "request/challenge.h"
#include "request/logline.h"
#include "model_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Always on: NDEBUG does not switch it off. */
#define REQUIRE(condition, what) ((condition) ? (void)0 : broken(__FILE__, __LINE__, (what)))

static inline void broken(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

static inline void require_judged_well(const xb_model *m, const xb_workspace *w)
{
    char wrong[128] = "";
    REQUIRE(judged_well(m, w, wrong, sizeof wrong), wrong);
}

/* The tables of names that every host makes when it starts. */
static inline void fuzz_init(void)
{
    static bool made;
    if (!made)
        xb_init();
    made = true;
}

/* A model with another weight for each feature and bucket. */
static inline const xb_model *fuzz_model(void)
{
    static model_image image;
    static xb_model model;
    static xb_workspace work;
    if (!model.bucket) {
        fuzz_init();
        image_init(&image);
        image_fill(&image);
        const char *why = xb_model_open(&model, &image, sizeof image, &work.request, &work.vector);
        REQUIRE(!why, why);
    }
    return &model;
}

/* The bytes in memory of exactly their size, so that AddressSanitizer sees one read too far. To be freed. */
static inline char *exact_copy(const void *bytes, size_t size)
{
    char *out = malloc(size ? size : 1);
    REQUIRE(out, "no memory");
    memcpy(out, bytes, size);
    return out;
}

#endif
