/* A line of a log: the first byte chooses the format, the rest is the line. It is read and can be judged, or says where it
 * is broken and why. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static xb_workspace work;
    xb_line out;
    if (size < 1)
        return 0;
    const xb_model *model = fuzz_model();
    char *line = exact_copy(data + 1, size - 1), *scratch = malloc(size);
    xb_span text = {line, size - 1};
    bool challenge = data[0] & 1;
    unsigned kind = data[0] >> 1;
    bool ok = challenge ? xb_challenge_line(text, scratch, &work.request, &out) : xb_clf_line(kind, text, scratch, &work.request, &out);
    REQUIRE(ok == !out.error && ok == !out.error_field, "an error without a reason, or the other way round");
    if (ok) {
        const xb_request *r = &work.request;
        const xb_span fields[] = {r->ip, r->method, r->uri, r->protocol, r->agent, r->referrer, r->host};
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
            REQUIRE(span_inside(fields[i], line, size - 1) || span_inside(fields[i], scratch, size - 1), "a field outside");
        const bool whole = challenge || !(kind & (XB_CLF_SHORT | XB_CLF_DASH_UNKNOWN));
        REQUIRE(!whole || (r->agent.at && r->referrer.at), "a field that the format holds is absent");
        REQUIRE(!challenge || r->ip.at, "no address");
        REQUIRE(out.label >= -1 && out.label <= 1 && (challenge || out.label == XB_LABEL_NONE), "label");
        REQUIRE(out.status == -1 || (!challenge && out.status > 0 && out.status <= 999), "status");
        xb_judge(model, &work);
        require_judged_well(model, &work);
        xb_address address;
        REQUIRE(!r->ip.at || xb_address_parse(r->ip, &address), "an address that is none");
        /* The hackathon's format holds one in each line, so nobody's stays in its field; no other reader leaves it there. */
        const bool nobodys = r->ip.at && xb_address_is_nobodys(&address);
        REQUIRE(challenge || !nobodys, "nobody's address");
        REQUIRE(work.vector.facts.ip.version == (r->ip.at && !nobodys ? address.version : 0), "another address");
    }
    free(line);
    free(scratch);
    return 0;
}
