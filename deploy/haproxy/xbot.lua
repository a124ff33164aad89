-- xbot.lua: asks the sidecar about a request. In haproxy.cfg:
--
--     setenv XBOT_SIDECAR 127.0.0.1:9401
--     lua-load-per-thread /etc/haproxy/xbot.lua
--     http-request lua.xbot POLICY
--
-- Sets txn.xbot to human, bot, ... or unknown. Where the sidecar answered also txn.xbot_score, txn.xbot_reason,
-- txn.xbot_policy, and txn.xbot_refused, true or false. It writes the head itself: HAProxy's own HTTP client for Lua keeps
-- headers in a table, and the sidecar looks at their order.

local address = assert(os.getenv("XBOT_SIDECAR"), "setenv XBOT_SIDECAR must stand before lua-load")
local TIMEOUT = 0.5 -- seconds for each step

local VARIABLES = {
    ["x-bot"] = "txn.xbot",
    ["x-bot-score"] = "txn.xbot_score",
    ["x-bot-reason"] = "txn.xbot_reason",
    ["x-bot-policy"] = "txn.xbot_policy",
}

-- Ours come first, so that nothing that a visitor sends under these names counts.
local function question(txn, policy)
    local fetch = txn.sf
    return table.concat({
        "GET /?policy=" .. policy .. " HTTP/1.1",
        "X-Real-IP: " .. fetch:src(),
        "X-Original-Method: " .. fetch:method(),
        "X-Original-URI: " .. fetch:pathq(),
        "X-Original-Protocol: HTTP/" .. fetch:req_ver(),
        "X-Original-Scheme: " .. (fetch:ssl_fc() == "1" and "https" or "http"),
        "X-Original-Host: " .. fetch:req_fhdr("host"),
        "X-Original-Order: kept",
        fetch:req_hdrs(), -- ends with the empty line
    }, "\r\n")
end

-- The status, and the headers by name; nil and an error, if there is no whole answer.
local function ask(socket, head)
    socket:settimeout(TIMEOUT)
    local done, why = socket:connect(address)
    if not done then return nil, why end
    done, why = socket:send(head)
    if not done then return nil, why end
    local line
    line, why = socket:receive("*l")
    local status, headers = tonumber(line and line:match("^HTTP/1%.1 (%d%d%d)")), {}
    while line and line ~= "" do
        line, why = socket:receive("*l")
        local name, value = (line or ""):match("^([%w-]+): (.*)$")
        if name then headers[name:lower()] = value end
    end
    if line and status then return status, headers end
    return nil, why or "no answer in HTTP"
end

core.register_action("xbot", { "http-req" }, function(txn, policy)
    txn:set_var("txn.xbot", "unknown")
    local socket = core.tcp()
    local status, answer = ask(socket, question(txn, policy))
    socket:close()
    if not status then
        core.Warning("xbot: " .. address .. ": " .. tostring(answer))
    elseif answer["x-bot"] then
        for name, variable in pairs(VARIABLES) do
            if answer[name] then txn:set_var(variable, answer[name]) end
        end
        txn:set_var("txn.xbot_refused", status == 403)
    end
end, 1)
