#include "features/facts.h"

#include "features/agent.h"
#include "features/situation.h"
#include "features/url.h"

void xb_facts_init(void) { xb_agent_init(); }

static uint32_t protocol_number(xb_span s)
{
    if (s.size < 6 || !xb_span_starts(s, XB_SPAN("http/")) || !xb_is_digit(s.at[5]))
        return 0;
    uint32_t n = (uint32_t)(s.at[5] - '0') * 10;
    return s.size >= 8 && s.at[6] == '.' && xb_is_digit(s.at[7]) ? n + (uint32_t)(s.at[7] - '0') : n;
}

/* What is absent reads as empty here; its group's bit keeps the difference. */
static xb_span present(xb_span s)
{
    return s.at ? s : XB_SPAN("");
}

static xb_span undashed(xb_span s)
{
    return s.size == 1 && *s.at == '-' ? (xb_span){s.at, 0} : present(s);
}

xb_span xb_agent_text(const xb_request *r) { return undashed(r->agent); }

/* QUIC opens with lists of its own: TLS 1.3's alone, and Chromium sends no GREASE there. Nothing here knows who sends which. */
static void handshake_facts(const xb_request *r, xb_facts *f)
{
    f->handshake = r->handshake;
    if (r->present & XB_HAS_TLS && !f->handshake.known)
        xb_handshake_of(&r->tls, &f->handshake);
    if (f->protocol >= 30 || f->handshake.alpn == XB_ALPN_H3)
        f->handshake = (xb_handshake){0};
    f->present = (f->present & ~(uint32_t)XB_HAS_TLS) | (f->handshake.known ? XB_HAS_TLS : 0); /* texts may say nothing */
}

void xb_facts_begin(const xb_request *r, xb_facts *f)
{
    f->present = r->present;
    f->request = r;
    f->ip.version = 0;
    if (r->present & XB_HAS_IP)
        xb_address_parse(r->ip, &f->ip);
    if (f->ip.version && (*r->ip.at == '0' || *r->ip.at == ':') && xb_address_is_nobodys(&f->ip)) /* the first byte is asked for speed alone */
        f->ip.version = 0;
    if (!f->ip.version)
        f->present &= ~(uint32_t)XB_HAS_IP; /* "unix:", 0.0.0.0 and the like: nothing to go by */
    f->protocol = protocol_number(r->protocol);
    handshake_facts(r, f);
}

void xb_facts_finish(xb_facts *f, const xb_agent_facts *agent, xb_known_origin origins[XB_ORIGINS])
{
    const xb_request *r = f->request;
    f->agent = agent;
    xb_referrer_of(undashed(r->referrer), origins, f);
    xb_path_facts_of(present(r->uri), &f->path);
    f->host = xb_without_port(r->host);
    f->referrer_own = r->host.size && f->referrer.host.size && xb_span_same(xb_without_www(f->referrer.host), xb_without_www(f->host));
    f->n_visitor = r->n_visitor;
    f->situation = xb_situation_of(r, f);
}
