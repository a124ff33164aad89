-- xbot.lua: asks the sidecar about a request. In haproxy.cfg:
--
--     setenv XBOT_SIDECAR 127.0.0.1:9401
--     lua-load-per-thread /etc/haproxy/xbot.lua
--     http-request lua.xbot
--
-- Asks for the policy that txn.xbot_ask names, if it is set. Sets txn.xbot to human, bot, ... or unknown. Where the sidecar answered also txn.xbot_score, txn.xbot_reason,
-- txn.xbot_policy, txn.xbot_id, of a proven crawler txn.xbot_agent and txn.xbot_purpose, and txn.xbot_refused, true or false. It writes the head itself: HAProxy's own HTTP client for Lua keeps
-- headers in a table, and the sidecar looks at their order.

local address = assert(os.getenv("XBOT_SIDECAR"), "setenv XBOT_SIDECAR must stand before lua-load")
local TIMEOUT = 0.5 -- seconds for each step

local VARIABLES = {
    ["x-bot"] = "txn.xbot",
    ["x-bot-score"] = "txn.xbot_score",
    ["x-bot-reason"] = "txn.xbot_reason",
    ["x-bot-policy"] = "txn.xbot_policy",
    ["x-bot-agent"] = "txn.xbot_agent",
    ["x-bot-purpose"] = "txn.xbot_purpose",
    ["x-bot-id"] = "txn.xbot_id",
}

-- The sidecar believes what a proxy says under these names; a visitor does not get to say it. HAProxy has names in lower case.
local function is_ours(name)
    return name == "x-real-ip" or name == "x-connection" or name:find("^x%-original%-") or name:find("^x%-tls%-")
end

-- What the visitor's program said when it opened the connection, where that was over TLS to this HAProxy. Lists are in hexadecimal,
-- and empty without tune.ssl.capture-buffer-size. "-": no protocol was agreed on. The sidecar believes names with capitals alone, as
-- HAProxy has a visitor's in lower case.
local function handshake(txn)
    local fetch, alpn = txn.sf, txn.sf:ssl_fc_alpn()
    if fetch:ssl_fc() ~= "1" then return {} end
    return {
        "X-TLS-Protocol: " .. fetch:ssl_fc_protocol(),
        "X-TLS-Ciphers: " .. fetch:ssl_fc_cipherlist_hex(),
        "X-TLS-Curves: " .. txn.sc:hex(fetch:ssl_fc_eclist_bin()),
        "X-TLS-ALPN: " .. (alpn ~= "" and alpn or "-"),
        "X-TLS-Reused: " .. (fetch:ssl_fc_is_resumed() == "1" and "r" or "."),
    }
end

-- The visitor's headers in their order, each with its line end.
local function visitors(fetch)
    return (fetch:req_hdrs():gsub("([^\r\n:]*):[^\r\n]*\r\n", function(name)
        if is_ours(name) then return "" end
    end))
end

local function question(txn)
    local fetch, policy = txn.sf, txn:get_var("txn.xbot_ask")
    local head = {
        "GET /" .. (policy and "?policy=" .. policy or "") .. " HTTP/1.1",
        "X-Real-IP: " .. fetch:src(),
        "X-Original-Method: " .. fetch:method(),
        "X-Original-URI: " .. fetch:pathq(),
        "X-Original-Protocol: HTTP/" .. fetch:req_ver(),
        "X-Original-Scheme: " .. (fetch:ssl_fc() == "1" and "https" or "http"),
        "X-Original-Host: " .. fetch:req_fhdr("host"),
    }
    for _, line in ipairs(handshake(txn)) do head[#head + 1] = line end
    head[#head + 1] = "X-Original-Order: " .. (txn:get_var("txn.xbot_order") or "kept")
    head[#head + 1] = visitors(fetch) -- ends with the empty line
    return table.concat(head, "\r\n")
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

core.register_action("xbot", { "http-req" }, function(txn)
    txn:set_var("txn.xbot", "unknown")
    local socket = core.tcp()
    local status, answer = ask(socket, question(txn))
    socket:close()
    if not status then
        core.Warning("xbot: " .. address .. ": " .. tostring(answer))
    elseif answer["x-bot"] then
        for name, variable in pairs(VARIABLES) do
            if answer[name] then txn:set_var(variable, answer[name]) end
        end
        txn:set_var("txn.xbot_refused", status == 403)
    end
end)
