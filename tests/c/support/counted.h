/* counted.h - included before every file of csrc/ in the counted build: what a request costs, as a number that does not
 * depend on the machine. The compiler adds a count for each block of code that runs (-fsanitize-coverage=trace-pc); the
 * bytes that memchr and memrchr look at are counted here, eight for one. */
#ifndef COUNTED_H
#define COUNTED_H
#include <string.h>
void *counted_memchr(const void *s, int c, size_t n);
void *counted_memrchr(const void *s, int c, size_t n);
#define memchr counted_memchr
#define memrchr counted_memrchr
#endif
