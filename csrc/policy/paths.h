/* paths.h - what the readers of a path take it for: nginx, and the sites behind it.
 *
 * Law: a path comes as it was sent, and ends at its '?' or '#'. nginx's reading is the one by which lists and policies are compared. A
 * site may read another path than nginx does; whoever lets somebody by must ask whether it may, and whoever denies must look at each
 * reading. No allocation; `scratch` has room for path.size bytes.
 */
#ifndef XB_PATHS_H
#define XB_PATHS_H

#include <stdbool.h>

#include "base/span.h"

/* The path as the proxy's locations see it: escapes decoded, "//" as one slash, "." and ".." resolved. Otherwise
 * "/public/..%2flogin" would pass for a path below /public/. Returns a span of `path` itself, of a literal or of `scratch`. */
xb_span xb_path_resolve(xb_span path, char *scratch);

/* May the site take a path for another one than nginx does? Tomcat and its kin take "..;" for "..", Windows "\" for "/", some decode
 * twice, or take UTF-8 that is too long for a dot or a slash. */
bool xb_path_is_read_otherwise(xb_span path);

/* Is there a byte for which one of the readings below has a use? They are nginx's where there is none. */
bool xb_path_has_other_readings(xb_span path);

enum { XB_N_READINGS = 5 };

/* The path as another reader resolves it: by number, below XB_N_READINGS. Returns a span of `scratch`. */
xb_span xb_path_read_by(int reading, xb_span path, char *scratch);

#endif
