/* values.h - the values of headers taken apart: what a browser accepts, can unpack, and says about itself.
 *
 * Law: facts follow from the bytes of one value alone, so they can be kept (memo.h). What they mean is said in claims.c.
 */
#ifndef XB_VALUES_H
#define XB_VALUES_H

#include "features/memo.h"
#include "request/request.h"

/* Marks of a value. A bit set; of a value that is absent, none. */
enum {
    XB_ACCEPT_PAGE = 1 << 0,   /* Accept begins as that of an opened page */
    XB_ACCEPT_HTML = 1 << 1,   /* begins with text/html */
    XB_ACCEPT_ANY = 1 << 2,    /* is star/star */
    XB_ACCEPT_OPENS = 1 << 3,  /* is what browsers accept where they open a page, or load a part of one from a path that does not tell its kind */
    XB_ACCEPT_APNG = 1 << 4,   /* names image/apng */
    XB_ENCODING_GZIP = 1 << 8, /* Accept-Encoding holds it, with any weight */
    XB_ENCODING_DEFLATE = 1 << 9,
    XB_ENCODING_BR = 1 << 10,
    XB_ENCODING_ZSTD = 1 << 11,
    XB_ENCODING_IDENTITY = 1 << 12,
    XB_BRAND_HEADLESS = 1 << 16, /* Sec-CH-UA says headless */
    XB_BRAND_EDGE = 1 << 17,
    XB_BRAND_OPERA = 1 << 18,
    XB_BRAND_GOOGLE = 1 << 19
};

typedef struct {
    uint64_t hash;     /* xb_hash of the value */
    uint32_t marks;
    uint32_t chromium; /* the version of the brand Chromium in Sec-CH-UA; 0: none */
} xb_value_facts;

enum { XB_VALUES = 64 /* that are kept; a power of two */ };

typedef struct {
    xb_memo_text text;
    uint8_t id; /* of which header */
    xb_value_facts facts;
} xb_known_value;

typedef struct {
    xb_known_value value[XB_VALUES];
    uint32_t new_values;
} xb_known_values;

/* What is found in the first header with this id: XB_H_ACCEPT, XB_H_ACCEPT_ENCODING or XB_H_SEC_CH_UA. `known` is all
 * zero at first. */
xb_value_facts xb_value_facts_of(const xb_request *r, xb_header_id id, xb_known_values *known);

#endif
