-- wrk's half of bench/load.py: sends the heads of a file in their order, over and over, and prints one line of JSON.
-- The file holds whole heads, each ended by a zero byte.
local heads, n, i = {}, 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  for head in file:read("*a"):gmatch("[^%z]+") do
    n = n + 1
    heads[n] = head
  end
  file:close()
end

function request()
  i = i % n + 1
  return heads[i]
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "bytes": %d, "p50_us": %d, "p99_us": %d, '
      .. '"status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.status, e.connect, e.read, e.write, e.timeout))
end
