/* atomic.h - words of memory that other processes write at the same time.
 *
 * Law: each word of 32 or 64 bits is read and written whole, in any order; nobody waits. Four floats at a time are four such words:
 * processors move sixteen aligned bytes in pieces of eight at least.
 */
#ifndef XB_ATOMIC_H
#define XB_ATOMIC_H

#include <stdint.h>
#include <string.h>

typedef float xb_four __attribute__((vector_size(16)));
typedef int32_t xb_four_masks __attribute__((vector_size(16)));

static inline uint32_t xb_get32(const uint32_t *at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }
static inline uint64_t xb_get64(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }
static inline void xb_put32(uint32_t *at, uint32_t word) { __atomic_store_n(at, word, __ATOMIC_RELAXED); }
static inline void xb_put64(uint64_t *at, uint64_t word) { __atomic_store_n(at, word, __ATOMIC_RELAXED); }

static inline float xb_get(const float *at)
{
    float x;
    __atomic_load(at, &x, __ATOMIC_RELAXED);
    return x;
}

static inline void xb_put(float *at, float x) { __atomic_store(at, &x, __ATOMIC_RELAXED); }

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define XB_WORD_BY_WORD
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define XB_WORD_BY_WORD
#endif

/* Four floats, aligned to sixteen bytes. ThreadSanitizer knows no atomic access of that size. */
static inline xb_four xb_get_four(const float *at)
{
#ifdef XB_WORD_BY_WORD
    return (xb_four){xb_get(at), xb_get(at + 1), xb_get(at + 2), xb_get(at + 3)};
#else
    return *(const volatile xb_four *)at;
#endif
}

static inline void xb_put_four(float *at, xb_four x)
{
#ifdef XB_WORD_BY_WORD
    for (int i = 0; i < 4; i++)
        xb_put(at + i, x[i]);
#else
    *(volatile xb_four *)at = x;
#endif
}

#endif
