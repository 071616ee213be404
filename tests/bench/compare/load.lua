-- wrk's requests, after the first argument: plain; agents: 1,000 user agents in turn; tokens: 1,000 of
-- them, behind that of the option -H; misses: a URL of its own for each, below the URL. What came of it goes out as one line of JSON.

local AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Bench/%d.%d"

function init(args)
  local count, requests = 0, {}
  local function in_turn()
    count = count + 1
    return requests[count % 1000]
  end
  if args[1] == "agents" then
    for number = 0, 999 do
      wrk.headers["User-Agent"] = AGENT:format(number, number, number * 7919 % 1000)
      requests[number] = wrk.format()
    end
    request = in_turn
  elseif args[1] == "tokens" then
    local token = wrk.headers["Authorization"]
    for number = 0, 999 do
      wrk.headers["Authorization"] = ("%s-%03d"):format(token, number)
      requests[number] = wrk.format()
    end
    request = in_turn
  elseif args[1] == "misses" then
    local head, tail = wrk.format(nil, "@"):match("^(.-)@(.*)$")
    request = function()
      count = count + 1
      return head .. wrk.path .. ("%09d"):format(count) .. tail
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  print(('{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "bytes": %d, "broken": %d, "refused": %d}'):format(
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    summary.bytes, errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
