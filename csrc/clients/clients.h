/* clients.h - what clients did before: counts of their requests that fade, in memory that workers share.
 *
 * Law: any process may read and write the table at any time, and none ever waits: there is no lock, so no process can die while it holds
 * one. Everything is read and written as whole words of 32 or 64 bits, in any order (atomic.h). Two that write at once may lose a
 * count, and an entry that is replaced in that moment may get a count of the one before it. So a count may be off by a few, and nothing
 * else can be wrong: no number that is read here is ever used as a place in memory without a check, also where another user writes
 * it. No allocation, no system call.
 *
 * An entry is one of
 *   client   an address (IPv6: its /64; or the network, XB_CLIENTS_BY_NETWORK) and an agent
 *   network  the /24 of an IPv4 address, the /48 of an IPv6 address
 *   shape    what a program looks like, whoever runs it (features/behaviour.h)
 * and there is one more, in the header: the site, which counts requests of all who claim a browser.
 *
 * Time is in milliseconds since 1970 UTC, given by the caller; a log gives its lines' own. Going back is harmless: no time
 * has passed then. Going back by more than an hour takes the clock for set, and counts from the new time on.
 *
 * Who uses the table includes this. Its parts, each of which includes those above it:
 *   atomic.h    words that others write
 *   entry.h     one entry: counts that fade, gaps, sketches        keys.h   whose request it is
 *   table.h     the memory, and where an entry is
 *   versions.h  which versions of browsers people have
 *   count.h     a request is counted
 *   correct.h   what happened to it
 * Beside the requests: outcomes.h (what nginx tells of them afterwards), exchange.h (other machines), visitors.h (who is proven).
 */
#ifndef XB_CLIENTS_H
#define XB_CLIENTS_H

#include "clients/correct.h"
#include "clients/count.h"
#include "clients/versions.h"

#endif
