/* scorer.h - from a feature vector to margin, score and reason.
 *
 * Law: margin = bias + sum over dense features of (value - mean) * weight / scale + sum over tokens of weight, as
 * scikit-learn's decision_function of a StandardScaler and a linear classifier gives it (within 1e-9). A value beyond what
 * training saw counts as the nearest that it saw; an absent feature (NAN) counts as its mean and so adds nothing.
 * First comes the part that follows from the request's print (fingerprint.h), which is kept with it for the model that gave it; then the rest.
 * So a margin is the same to the last bit, whether the print was kept or not.
 */
#ifndef XB_SCORER_H
#define XB_SCORER_H

#include "model/model.h"

enum { XB_MAX_REASON = 96 }; /* room for a reason's text, with its closing zero */

typedef struct {
    double margin; /* above 0 leans to bot */
    double score;  /* 0 to 1: how surely a bot */
    bool bot;      /* score >= threshold */
    int reason;    /* the strongest contribution towards bot: below XB_N_DENSE a feature, then XB_N_DENSE + index of a
                      token; -1 if nothing speaks for a bot */
} xb_verdict;

xb_verdict xb_score(const xb_model *m, const xb_vector *v);

/* What feature i adds to the margin; what token t adds. They and the bias add up to the margin. */
double xb_contribution(const xb_model *m, const xb_vector *v, size_t i);
double xb_token_contribution(const xb_model *m, const xb_token *t);

/* The reason as text: "ua_empty", "ua_word=curl", or "none". The reason is what speaks most for a bot, so it is only
 * given for a request that is `accused`; of any other it is "none". Returns its length. */
size_t xb_reason_text(const xb_verdict *verdict, const xb_vector *v, bool accused, char *out, size_t size);

/* Writes a score, "0.0000" to "1.0000", and returns the place behind it. */
char *xb_score_text(char *to, double score);

#endif
