#include "features/values.h"

static uint32_t accept_marks(xb_span s)
{
    uint32_t marks = 0;
    marks |= xb_span_starts(s, XB_SPAN("text/html,application/xhtml+xml,")) ? XB_ACCEPT_PAGE : 0;
    marks |= xb_span_starts(s, XB_SPAN("text/html")) ? XB_ACCEPT_HTML : 0;
    marks |= xb_span_is(s, XB_SPAN("*/*")) ? XB_ACCEPT_ANY : 0;
    marks |= xb_contains(s, XB_SPAN("image/apng")) ? XB_ACCEPT_APNG : 0;
    if (xb_contains(s, XB_SPAN("text/html")) || xb_span_starts(s, XB_SPAN("image/")) || xb_span_starts(s, XB_SPAN("text/css")) ||
        xb_span_starts(s, XB_SPAN("audio/")) || xb_span_starts(s, XB_SPAN("video/")) ||
        xb_span_starts(s, XB_SPAN("application/font")) || xb_span_starts(s, XB_SPAN("text/event-stream")))
        marks |= XB_ACCEPT_OPENS;
    return marks;
}

static uint32_t encoding_marks(xb_span s)
{
    static const struct {
        xb_span name;
        uint32_t mark;
    } encodings[] = {{{"gzip", 4}, XB_ENCODING_GZIP}, {{"deflate", 7}, XB_ENCODING_DEFLATE}, {{"br", 2}, XB_ENCODING_BR},
                     {{"zstd", 4}, XB_ENCODING_ZSTD}, {{"identity", 8}, XB_ENCODING_IDENTITY}};
    const char *p = s.at, *end = p + s.size;
    uint32_t marks = 0;
    xb_span one;
    while (xb_list_next(&p, end, &one))
        for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++)
            marks |= xb_span_is(one, encodings[i].name) ? encodings[i].mark : 0;
    return marks;
}

/* The version behind a brand of Sec-CH-UA: `"Chromium";v="131"`. 0 if the brand is not there. */
static uint32_t brand_version(xb_span hints, xb_span brand)
{
    const char *end = hints.at + hints.size, *p = xb_find_text(hints, brand);
    if (!p)
        return 0;
    for (p += brand.size; p < end && !xb_is_digit(*p) && *p != ','; p++)
        ;
    uint32_t n = 0;
    for (const char *from = p; p < end && p - from < 6 && xb_is_digit(*p); p++)
        n = n * 10 + (uint32_t)(*p - '0');
    return n;
}

static uint32_t brand_marks(xb_span s)
{
    return (xb_contains(s, XB_SPAN("headless")) ? XB_BRAND_HEADLESS : 0u) | (xb_contains(s, XB_SPAN("\"microsoft edge")) ? XB_BRAND_EDGE : 0u) |
           (xb_contains(s, XB_SPAN("\"opera")) ? XB_BRAND_OPERA : 0u) | (xb_contains(s, XB_SPAN("\"google chrome")) ? XB_BRAND_GOOGLE : 0u);
}

xb_value_facts xb_value_facts_of(const xb_request *r, xb_header_id id, xb_known_values *known)
{
    const xb_span value = xb_value(r, id);
    if (!value.at)
        return (xb_value_facts){0};
    xb_known_value *k = &known->value[xb_memo_place(value, XB_VALUES)];
    for (size_t way = 0; way < XB_MEMO_WAYS; way++)
        if (k[way].id == id && xb_memo_holds(&k[way].text, value))
            return k[way].facts;
    k += known->new_values++ % XB_MEMO_WAYS;
    const xb_span s = xb_memo_keep(&k->text, value);
    k->id = (uint8_t)id;
    k->facts = (xb_value_facts){.hash = xb_hash(s)};
    if (id == XB_H_ACCEPT)
        k->facts.marks = accept_marks(s);
    else if (id == XB_H_ACCEPT_ENCODING)
        k->facts.marks = encoding_marks(s);
    else {
        k->facts.marks = brand_marks(s);
        k->facts.chromium = brand_version(s, XB_SPAN("\"chromium\""));
    }
    return k->facts;
}
