/* versions.h - which versions of a browser this site's people have.
 *
 * Law: of each family a few versions are counted, of clients that loaded a part, in the header of the table (table.h). The last few hundred
 * count; of more versions than there are places, the rarest goes.
 */
#ifndef XB_VERSIONS_H
#define XB_VERSIONS_H

#include "clients/table.h"

/* The version of a browser that people of this site have: three of ten of those who loaded parts have this one or a newer one.
 * 0 while fewer than eight are known. */
uint32_t xb_clients_version(const xb_clients *t, unsigned family);

/* One of its people more. */
void xb_versions_count(xb_clients *t, uint32_t family, uint32_t version);

#endif
