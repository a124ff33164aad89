-- The verdict of the .xbot file @MODEL@ inside nginx, by LuaJIT: bench/services.py fills the names in.
--
-- What it computes: margin and score as csrc/model/scorer.c does, from these features, each as csrc/features/features.def has it: the
-- address in four parts (ip_1 to ip_4, ip_v6) and its three networks (ip_net); of the agent: empty, length, words, digits,
-- short, semicolons, strange, mozilla, mail, and each word (ua_word); of the referrer: empty, lengths of it, its path and its
-- query, dots of its host, its scheme, and the host (ref_host). A model of the challenge's log looks at these three groups.
-- What it leaves out counts as its mean, as an absent feature does: what the table of known agents gives (browser, system,
-- vendor, kind of device, version), ua_url, ua_bot_word and ref_host_numeric; addresses of IPv6 give no parts. So it does less
-- than xbot does for the same verdict.
-- Written for the compiler: bytes by pointer, no pattern matching, no string made for a word, one table of doubles.
local ffi = require "ffi"
local bit = require "bit"

ffi.cdef [[
typedef struct {
    uint8_t magic[8]; uint32_t version, header_size, n_dense, n_families, k, dtype, groups, families, n_hosts, n_tests;
    uint64_t tests_size, provenance_size, file_size; double bias, threshold, a, b; uint8_t reserved[24];
} bench_header;
]]

local file = assert(io.open("@MODEL@", "rb"))
local image = file:read("*a")
file:close()
local header = ffi.new("bench_header")
ffi.copy(header, image, 128)
local n_dense, buckets = header.n_dense, bit.lshift(1, header.k)
local shift, threshold, a, b, bias = 64 - header.k, header.threshold, header.a, header.b, header.bias

-- Behind the names of the rows, 32 bytes each; a model made by this very xbot has its rows in the order of features.def.
local function doubles(first, n)
  local array = ffi.new("double[?]", n)
  ffi.copy(array, ffi.cast("const char *", image) + 128 + 32 * (n_dense + header.n_families) + 8 * first, 8 * n)
  return array
end

local mean, scale = doubles(0, n_dense), doubles(n_dense, n_dense)
local lower, upper = doubles(2 * n_dense, n_dense), doubles(3 * n_dense, n_dense)
local weight, bucket_weight = doubles(4 * n_dense, n_dense), doubles(5 * n_dense, buckets)
local folded = ffi.new("double[?]", n_dense)
for i = 0, n_dense - 1 do
  folded[i] = weight[i] / scale[i]
end

local F = { @FEATURES@ }
local T = { @FAMILIES@ }
local FOLD, GOLDEN = 0x2020202020202020ULL, 0x9e3779b97f4a7c15ULL
local MIX_1, MIX_2 = 0xff51afd7ed558ccdULL, 0xc4ceb9fe1a85ec53ULL

-- Classes of bytes, as in csrc/base/span.h: 1 letter, 2 digit, 4 high; 8 control.
local class = ffi.new("uint8_t[256]")
for c = 0, 255 do
  class[c] = c < 32 and 8 or c == 127 and 8 or c > 127 and 4 or (c >= 48 and c <= 57) and 2
    or ((c >= 65 and c <= 90) or (c >= 97 and c <= 122)) and 1 or 0
end

local words = ffi.new("uint64_t[8192]") -- one word of a text, padded with zeros: nginx takes lines of at most 8 kB by default
local taken, generation, margin = ffi.new("uint32_t[?]", buckets), 0, 0

-- csrc/base/hash.h
local function hash(p, n)
  local h, eights = GOLDEN * n, bit.rshift(n, 3)
  words[eights] = 0ULL
  ffi.copy(words, p, n)
  for i = 0, bit.rshift(n + 7, 3) - 1 do
    h = bit.bxor(h, bit.bor(words[i], FOLD)) * MIX_1
    h = bit.bxor(h, bit.rshift(h, 32))
  end
  h = h * MIX_2
  return bit.bxor(h, bit.rshift(h, 29))
end

local function mix(h)
  h = bit.bxor(h, bit.rshift(h, 33)) * MIX_1
  h = bit.bxor(h, bit.rshift(h, 29)) * MIX_2
  return bit.bxor(h, bit.rshift(h, 32))
end

local function token(family, h)
  local bucket = tonumber(bit.rshift(mix(bit.bxor(h, GOLDEN * (family + 1))), shift))
  if taken[bucket] ~= generation then
    taken[bucket] = generation
    margin = margin + bucket_weight[bucket]
  end
end

local function dense(i, value)
  value = value < lower[i] and lower[i] or value > upper[i] and upper[i] or value
  margin = margin + (value - mean[i]) * folded[i]
end

local function flag(i, is)
  dense(i, is and 1 or 0)
end

local function least(n, most)
  return n < most and n or most
end

local function address(text)
  local p, n, parts, value, digits, k = ffi.cast("const uint8_t *", text), #text, 0, 0, 0, 0
  local h32, h24, h16 = 32ULL, 24ULL, 16ULL
  for i = 0, n do
    local c = i < n and p[i] or 46
    if c == 46 then
      if digits == 0 or value > 255 or parts == 4 then
        return
      end
      dense(F.ip_1 + parts, value)
      h32 = bit.bor(bit.lshift(h32, 8), value)
      if parts < 3 then h24 = bit.bor(bit.lshift(h24, 8), value) end
      if parts < 2 then h16 = bit.bor(bit.lshift(h16, 8), value) end
      parts, value, digits = parts + 1, 0, 0
    elseif class[c] == 2 then
      value, digits = value * 10 + c - 48, digits + 1
    else
      return
    end
  end
  dense(F.ip_v6, 0)
  token(T.ip_net, mix(h32))
  token(T.ip_net, mix(h24))
  token(T.ip_net, mix(h16))
end

local function agent(text)
  local p, n, i = ffi.cast("const uint8_t *", text), #text, 0
  local count, digits, semicolons, strange, mail = 0, 0, 0, 0, false
  while i < n do
    local c = p[i]
    local kind = class[c]
    if kind == 0 or kind == 8 then
      if c == 59 then semicolons = semicolons + 1 end
      if c == 64 then mail = true end
      if kind == 8 then strange = strange + 1 end
      i = i + 1
    else
      local from, before = i, digits
      while i < n do
        kind = class[p[i]]
        if kind == 0 or kind == 8 then break end
        if kind == 2 then digits = digits + 1 elseif kind == 4 then strange = strange + 1 end
        i = i + 1
      end
      count = count + 1
      if digits - before ~= i - from then -- a bare number is no word
        token(T.ua_word, hash(p + from, i - from))
      end
    end
  end
  flag(F.ua_empty, n == 0)
  dense(F.ua_length, least(n, 1024))
  dense(F.ua_words, least(count, 128))
  dense(F.ua_digits, least(digits, 256))
  flag(F.ua_short, n > 0 and count < 5)
  dense(F.ua_semicolons, least(semicolons, 32))
  flag(F.ua_strange, strange > 0)
  flag(F.ua_mozilla, n >= 8 and hash(p, 8) == hash("mozilla/", 8))
  flag(F.ua_mail, mail)
end

local function referrer(text)
  local p, n = ffi.cast("const uint8_t *", text), #text
  local from, stop, scheme, dots, port = 0, 0, 0, 0, -1
  for i = 0, least(n - 2, 16) - 1 do -- "scheme://"
    if p[i] == 58 then
      if p[i + 1] == 47 and p[i + 2] == 47 then
        scheme, from = i, i + 3
      end
      break
    end
  end
  if from > 0 then
    stop = from
    while stop < n and p[stop] ~= 47 and p[stop] ~= 63 and p[stop] ~= 35 do
      local c = p[stop]
      if c == 64 then from, dots, port = stop + 1, 0, -1 end
      if c == 46 and port < 0 then dots = dots + 1 end
      if c == 58 and port < 0 then port = stop end
      stop = stop + 1
    end
  end
  local query = stop
  while query < n and p[query] ~= 63 do
    query = query + 1
  end
  local host = (port < 0 and stop or port) - from
  local http = scheme == 4 and hash(p, 4) == hash("http", 4)
  local https = scheme == 5 and hash(p, 5) == hash("https", 5)
  flag(F.ref_empty, n == 0)
  dense(F.ref_length, least(n, 1024))
  dense(F.ref_path_length, least(query - stop, 1024))
  dense(F.ref_query_length, query < n and least(n - query - 1, 1024) or 0)
  dense(F.ref_host_dots, least(dots, 16))
  flag(F.ref_scheme_http, http)
  flag(F.ref_scheme_https, https)
  flag(F.ref_scheme_other, n > 0 and not http and not https)
  if host > 0 then
    token(T.ref_host, hash(p + from, host))
  end
end

return function()
  local var = ngx.var
  generation, margin = generation + 1, bias
  address(var.remote_addr)
  agent(var.http_user_agent or "")
  referrer(var.http_referer or "")
  return 1 / (1 + math.exp(a * margin + b)) >= threshold and "bot" or "human"
end
