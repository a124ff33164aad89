/* address.h - a visitor's address, from text to bytes.
 *
 * Law: one way of reading it for features, lists and logs.
 */
#ifndef XB_ADDRESS_H
#define XB_ADDRESS_H

#include "base/span.h"

typedef struct {
    uint32_t version;  /* 4, 6, or 0 where the text is no address */
    uint8_t bytes[16]; /* network order; the first four for IPv4 */
} xb_address;

/* Reads an IPv4 or IPv6 address; false (and version 0) if it is none. IPv4 octets are decimal, 0 to 255. */
bool xb_address_parse(xb_span text, xb_address *out);

/* Is an address that was read 0.0.0.0 or ::, which loggers write where they hide whose address it is? No visitor has it. */
bool xb_address_is_nobodys(const xb_address *address);

#endif
