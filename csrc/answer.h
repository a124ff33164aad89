/* answer.h - from the bytes on a socket to the bytes of the reply. What a server, a fuzzer and a test call.
 *
 * Law: no allocation, no system call but the clock; everything that a request needs lies in one workspace.
 */
#ifndef XB_ANSWER_H
#define XB_ANSWER_H

#include "dialect.h"
#include "policy.h"
#include "scorer.h"
#include "stats.h"

/* All that judging one request needs; about 300 KiB, most of it never touched, one for each thread, all zero before its first use. */
struct xb_workspace {
    xb_request request;
    xb_vector vector;
    xb_verdict verdict;
    xb_decision decision;
    char scratch[XB_MAX_HEAD]; /* what the dialect decodes */
    char path[XB_MAX_HEAD];    /* the path, resolved for routes and lists */
};

typedef struct {
    const xb_model *model;
    const xb_policies *policies; /* or NULL: then no request can ask for one by name */
    const xb_policy *policy;     /* for requests that ask for none and whose path has none; &xb_observing or one of `policies` */
    xb_dialect dialect;
    bool closing;   /* say so in every answer, and close */
    xb_stats *stats; /* or NULL */
} xb_service;

enum { XB_MAX_REPLY = 320, XB_MAX_REASON = 96 };

typedef struct {
    size_t size; /* bytes of `bytes` */
    bool close;  /* the connection must be closed once the reply is sent */
    char bytes[XB_MAX_REPLY];
} xb_reply;

/* Parses one head from buf[0, size), judges it and writes the reply.
 * Returns the bytes consumed (> 0) with a reply; XB_PARTIAL, without one; XB_BAD with a reply of 400 that closes.
 * `seen_size`: see xb_request_parse. `truncated`: buf holds the first XB_MAX_HEAD bytes of a longer head; then what fits
 * is judged, `size` is returned, and the reply closes: the rest may announce a body. */
long xb_answer(const xb_service *s, xb_workspace *w, const char *buf, size_t size, size_t seen_size, bool truncated, xb_reply *reply);

/* Featurizes and scores w->request into w->vector and w->verdict. */
void xb_judge(const xb_model *m, xb_workspace *w);

/* Decides on what was judged, by the policy that w->request asks for by name, else by that of its path, else by `policy`,
 * into w->decision. False if there is none of the name it asks for. */
bool xb_apply_policy(const xb_policies *policies, const xb_policy *policy, const xb_model *m, xb_workspace *w);

/* Writes a score, "0.0000" to "1.0000", and returns the place behind it. */
char *xb_score_text(char *to, double score);

#endif
