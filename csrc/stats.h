/* stats.h - what a worker counts: one struct in memory that it shares with the master.
 *
 * Law: one writer (the worker), any number of readers; 64-bit counters only go up. Readers may see one counter ahead of
 * another by a request, never half a number.
 */
#ifndef XB_STATS_H
#define XB_STATS_H

#include <stdint.h>

enum { XB_HISTOGRAM = 64, XB_COUNTED_OUTCOMES = 4, XB_COUNTED_DECIDERS = 4 };

typedef struct {
    uint64_t requests;
    uint64_t outcome[XB_COUNTED_OUTCOMES]; /* by xb_outcome; they add up to `requests` */
    uint64_t decided_by[XB_COUNTED_DECIDERS];       /* by xb_decided_by; likewise */
    uint64_t unknown_policy; /* asked for a policy that is not there; the listener's decided */
    uint64_t refused;      /* answered 403 */
    uint64_t bad_request;  /* answered 400 */
    uint64_t truncated;    /* more head, headers or words than the bounds: judged on what fits */
    uint64_t connections_total;
    uint64_t asked_again;  /* answered 428: the proxy asks once more, and tells the handshake */
    uint64_t older_files, newer_files; /* questions by files of nginx/ that say another version than XB_FILES (dialect.h) */
    uint64_t sum_ns;       /* from the last byte of the head to the reply, over all answers */
    uint64_t histogram[XB_HISTOGRAM]; /* bucket i: answers that took [2^i, 2^(i+1)) ns */
} xb_stats;

#endif
