/* A line of jsonl. It is plain, and then every text lies in the line or in the scratch, and the request can be judged; or it is not, and
 * then the request is empty. */
#include "fuzz.h"

#include "request/jsonline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static xb_workspace work;
    xb_line out;
    const xb_model *model = fuzz_model();
    char *line = exact_copy(data, size), *scratch = malloc(size + !size);
    const xb_request *r = &work.request;
    if (xb_json_line((xb_span){line, size}, scratch, &work.request, &out)) {
        const xb_span fields[] = {r->ip, r->method, r->uri, r->protocol, r->scheme, r->agent, r->referrer, r->host, r->policy, out.type,
                                  r->tls.protocol, r->tls.ciphers, r->tls.curves, r->tls.alpn, r->tls.reused, r->tls.sigalgs};
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
            REQUIRE(span_inside(fields[i], line, size) || span_inside(fields[i], scratch, size), "a field outside");
        for (uint32_t i = 0; i < r->n_headers; i++) {
            const xb_header *h = &r->headers[i];
            REQUIRE(span_inside(h->name, line, size) || span_inside(h->name, scratch, size), "a name outside");
            REQUIRE(span_inside(h->value, line, size) || span_inside(h->value, scratch, size), "a value outside");
        }
        REQUIRE(out.label >= -1 && out.label <= 1 && out.status >= -1 && out.status <= 999, "label or status");
        REQUIRE(out.time >= -1 && out.time < INT64_C(253402300800000) && out.bytes >= -1, "time or bytes");
        REQUIRE(r->present & (XB_HAS_HEADERS | XB_HAS_UA), "nothing about who asks");
        xb_judge(model, &work);
        require_judged_well(model, &work);
    } else {
        REQUIRE(!r->present && !r->n_headers && !r->uri.at && out.status == -1, "a request that is not empty");
    }
    free(line);
    free(scratch);
    return 0;
}
