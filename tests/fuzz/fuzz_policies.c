/* An image of policies: what opens can be used. Any request gets an outcome, and a reason that a header can hold. */
#include "fuzz.h"

static const char *const heads[] = {
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nX-Real-IP: 192.0.2.77\r\nX-Original-URI: /x/..%2f.env?b\r\nUser-Agent: curl/8 (go-http-client)\r\nX-Bot-Policy: login\r\n\r\n",
    "GET / HTTP/1.1\r\nX-Real-IP: 2001:db8::1\r\nX-Original-URI: /wp-login.php\r\nUser-Agent: Disco Discourse\r\nX-Bot-Policy: default\r\n\r\n",
    "GET / HTTP/1.1\r\nX-Original-URI: /x/..%2flogin\r\n\r\n",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static xb_workspace work;
    const xb_model *m = fuzz_model();
    xb_policies policies;
    char *image = exact_copy(data, size);
    const char *why = xb_policies_open(&policies, image, size);
    REQUIRE(!why || *why, "refused without a reason");
    for (size_t i = 0; !why && i < sizeof heads / sizeof *heads; i++) {
        char reason[XB_MAX_REASON];
        size_t head_size = strlen(heads[i]);
        REQUIRE(xb_request_parse(&work.request, heads[i], head_size, 0) == (long)head_size, "parse");
        xb_dialect_apply(XB_DIALECT_NGINX, &work.request, work.scratch);
        xb_judge(m, &work);
        xb_apply_policy(&policies, &policies.policy[0], m, &work);
        const xb_decision *d = &work.decision;
        REQUIRE(d->outcome < XB_N_OUTCOMES && !d->list == (d->by == XB_BY_SCORE), "an outcome");
        REQUIRE(!d->refuse || (d->outcome == XB_BOT && d->policy->mode == XB_mode_enforce), "a refusal");
        REQUIRE(xb_decision_text(d, &work.verdict, &work.vector, reason, sizeof reason) < sizeof reason, "a reason");
        for (const char *p = reason; *p; p++)
            REQUIRE(xb_is_reason(*p), "a byte that is no letter of a reason");
    }
    free(image);
    return 0;
}
