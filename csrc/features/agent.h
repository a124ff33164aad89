/* agent.h - the user agent taken apart.
 *
 * Law: each byte is looked at once; words with a meaning are those of agents.def.
 */
#ifndef XB_AGENT_H
#define XB_AGENT_H

#include "features/facts.h"

/* Builds the table of words. Calling it again does nothing. */
void xb_agent_init(void);

/* Takes an agent apart; an absent one as an empty one. */
void xb_agent_facts_of(xb_span s, xb_agent_facts *a);

/* By XB_BROWSER_*: its name in agents.def. */
extern const char *const xb_browser_names[];

#endif
