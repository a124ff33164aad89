#include "module.h"

/* For `xbot check`, which reads it in the file: what nginx itself compares is a number that only a loader finds. */
__attribute__((used)) static const char made_for[] = "xbot module for nginx/" NGINX_VERSION;

/* ---- the gate ---- */

/* A location's auth_request line, as the merged configuration of nginx's own module has it: it is private, and begins with the
 * target in every version since the first, 1.5.4. tests/nginx has every gate, so that another version would be noticed. */
typedef struct {
    ngx_str_t uri;
} auth_request_line;

/* The lines of nginx/ that ask the sidecar are gates of ours. */
static const struct {
    ngx_str_t target;
    xbot_gate gate;
} gates[] = {
    {ngx_string("/_xbot/observe"), XBOT_OBSERVE},
    {ngx_string("/_xbot/enforce"), XBOT_ENFORCE},
    {ngx_string("/_xbot/enforce_fail_closed"), XBOT_CLOSED},
};

static auth_request_line *auth_line(ngx_conf_t *cf)
{
    for (ngx_uint_t i = 0; cf->cycle->modules[i] && cf->cycle->modules[i] != &ngx_http_xbot_module; i++)
        if (ngx_strcmp(cf->cycle->modules[i]->name, "ngx_http_auth_request_module") == 0)
            return ((ngx_http_conf_ctx_t *)cf->ctx)->loc_conf[cf->cycle->modules[i]->ctx_index];
    return NULL;
}

/* The gate of a location. `xbot` is heard first, then the location's own auth_request line; without either it has that of its
 * parent. A line that asks the sidecar is taken out: it is answered here, without a subrequest. So one configuration serves
 * both hosts, and `auth_request off` exempts from either. */
static void find_gate(ngx_conf_t *cf, const xbot_location *parent, xbot_location *location)
{
    auth_request_line *line = auth_line(cf);
    ngx_uint_t asked = NGX_CONF_UNSET_UINT;
    ngx_str_t target = {0, NULL};
    if (line && line->uri.data) {
        location->asked = line->uri.data;
        location->asked_size = line->uri.len;
        const bool own = location->asked != parent->asked || location->asked_size != parent->asked_size;
        for (size_t i = 0; i < sizeof gates / sizeof *gates; i++)
            if (line->uri.len == gates[i].target.len && ngx_memcmp(line->uri.data, gates[i].target.data, line->uri.len) == 0) {
                asked = own ? gates[i].gate : asked;
                target = gates[i].target;
                line->uri.len = 0;
            }
        if (own && asked == NGX_CONF_UNSET_UINT && parent->asked_size)
            asked = XBOT_OFF; /* `off`, or a question to somebody else */
    }
    if (location->gate == NGX_CONF_UNSET_UINT) {
        location->gate = asked != NGX_CONF_UNSET_UINT ? asked : parent->gate;
        location->question = asked != NGX_CONF_UNSET_UINT ? target : parent->question;
    }
    if (location->gate == NGX_CONF_UNSET_UINT)
        location->gate = XBOT_OFF;
}

static ngx_int_t at_access(ngx_http_request_t *r)
{
    const xbot_main *conf = ngx_http_get_module_main_conf(r, ngx_http_xbot_module);
    const xbot_location *location = ngx_http_get_module_loc_conf(r, ngx_http_xbot_module);
    ngx_int_t status = NGX_DECLINED;
    xbot_context *ctx = NULL;
    if (!conf->board.data)
        return NGX_DECLINED;
    if (location->gate != XBOT_OFF) {
        const ngx_int_t asked = xbot_ask_of_signature(r, location);
        if (asked != NGX_OK)
            return asked;
        ctx = xbot_verdict(r);
        if (!ctx)
            return NGX_ERROR;
        if (location->gate >= XBOT_ENFORCE && ctx->refuse)
            status = NGX_HTTP_FORBIDDEN;
        else if (location->gate == XBOT_CLOSED && !ctx->known)
            status = NGX_HTTP_SERVICE_UNAVAILABLE;
        if (ctx->refused)
            status = NGX_DECLINED; /* the page that the site has for whom is refused */
        ctx->refused |= status != NGX_DECLINED;
        ctx->settled = location;
    }
    if (xbot_remove_headers(r) != NGX_OK)
        return NGX_ERROR;
    if (location->pass && status == NGX_DECLINED && xbot_pass_headers(r, ctx ? ctx : xbot_known(r)) != NGX_OK)
        return NGX_ERROR;
    return status;
}

/* ---- directives ---- */

/* From the first directive on that speaks of the board or of a gate the module is in use. */
static char *put_in_use(ngx_conf_t *cf, ngx_str_t *board)
{
    xbot_main *conf = ngx_http_conf_get_module_main_conf(cf, ngx_http_xbot_module);
    if (!conf->zone && (xbot_add_variables(cf, conf) != NGX_OK || xbot_counters_zone(cf, conf) != NGX_OK))
        return NGX_CONF_ERROR;
    if (board)
        conf->board = *board;
    return NGX_CONF_OK;
}

static char *set_board(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *value = cf->args->elts;
    (void)cmd;
    if (((xbot_main *)conf)->board.data)
        return "is duplicate";
    if (value[1].len == 0 || value[1].data[0] != '/' || value[1].len > NGX_MAX_PATH - sizeof "/served")
        return "takes an absolute path";
    return put_in_use(cf, &value[1]);
}

static char *set_gate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t *value = cf->args->elts;
    xbot_location *location = conf;
    (void)cmd;
    if (location->gate != NGX_CONF_UNSET_UINT)
        return "is duplicate";
    if (ngx_strcmp(value[1].data, "on") == 0)
        location->gate = XBOT_ENFORCE;
    else if (ngx_strcmp(value[1].data, "off") == 0)
        location->gate = XBOT_OFF;
    else
        return "takes on or off";
    return put_in_use(cf, NULL);
}

static char *set_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t *location = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    (void)cmd, (void)conf;
    location->handler = xbot_status_page;
    return put_in_use(cf, NULL);
}

static char *set_pass(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char *why = ngx_conf_set_flag_slot(cf, cmd, conf);
    return why == NGX_CONF_OK ? put_in_use(cf, NULL) : why;
}

static ngx_command_t commands[] = {
    {ngx_string("xbot_board"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, set_board, NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("xbot"), NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, set_gate, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    {ngx_string("xbot_policy"), NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, ngx_conf_set_str_slot,
     NGX_HTTP_LOC_CONF_OFFSET, offsetof(xbot_location, policy), NULL},
    {ngx_string("xbot_pass"), NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_CONF_FLAG, set_pass, NGX_HTTP_LOC_CONF_OFFSET,
     offsetof(xbot_location, pass), NULL},
    {ngx_string("xbot_status"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, set_status, NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    ngx_null_command,
};

static void *make_main(ngx_conf_t *cf) { return ngx_pcalloc(cf->pool, sizeof(xbot_main)); }

static void *make_location(ngx_conf_t *cf)
{
    xbot_location *location = ngx_pcalloc(cf->pool, sizeof *location);
    if (location) {
        location->gate = NGX_CONF_UNSET_UINT;
        location->pass = NGX_CONF_UNSET;
    }
    return location;
}

static char *end_main(ngx_conf_t *cf, void *conf)
{
    static ngx_str_t board = ngx_string("/run/xbot");
    xbot_main *main = conf;
    (void)cf;
    if (main->zone && !main->board.data)
        main->board = board;
    return NGX_CONF_OK;
}

static char *merge_location(ngx_conf_t *cf, void *parent, void *child)
{
    const xbot_main *main = ngx_http_conf_get_module_main_conf(cf, ngx_http_xbot_module);
    const xbot_location *above = parent;
    xbot_location *location = child;
    ngx_conf_merge_str_value(location->policy, above->policy, "default");
    ngx_conf_merge_value(location->pass, above->pass, 0);
    if (main->board.data)
        find_gate(cf, above, location);
    return NGX_CONF_OK;
}

/* Handlers of a phase run from the last one added to the first: ours before allow, deny and auth_basic, whose OK may end the
 * phase under `satisfy any`. */
static ngx_int_t add_handlers(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *core = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    ngx_http_handler_pt *access = ngx_array_push(&core->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    ngx_http_handler_pt *content = ngx_array_push(&core->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    ngx_http_handler_pt *log = ngx_array_push(&core->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (!access || !content || !log)
        return NGX_ERROR;
    xbot_headers_init();
    *access = at_access;
    *content = xbot_pass_to_subrequest;
    *log = xbot_tell_outcome;
    return NGX_OK;
}

static xbot_main *in_use(ngx_cycle_t *cycle)
{
    xbot_main *conf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_xbot_module);
    return conf && conf->board.data && (ngx_process == NGX_PROCESS_WORKER || ngx_process == NGX_PROCESS_SINGLE) ? conf : NULL;
}

static ngx_int_t begin_process(ngx_cycle_t *cycle)
{
    xbot_main *conf = in_use(cycle);
    if (conf) {
        xbot_counters_begin(conf, cycle->log);
        xbot_verdict_begin(cycle);
        xbot_share_begin(conf, cycle);
    }
    return NGX_OK;
}

static void end_process(ngx_cycle_t *cycle)
{
    if (in_use(cycle)) {
        xbot_share_end();
        xbot_counters_end();
    }
}

static ngx_http_module_t context = {
    .postconfiguration = add_handlers,
    .create_main_conf = make_main,
    .init_main_conf = end_main,
    .create_loc_conf = make_location,
    .merge_loc_conf = merge_location,
};

ngx_module_t ngx_http_xbot_module = {
    NGX_MODULE_V1,
    .ctx = &context,
    .commands = commands,
    .type = NGX_HTTP_MODULE,
    .init_process = begin_process,
    .exit_process = end_process,
};
