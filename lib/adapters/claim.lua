-- Claims one batch of actions, or answers that there is none.
-- KEYS[1]  pending_user_actions           list    what the app pushed
-- KEYS[2]  recs:leases                    zset    batch id -> end of its lease, unix milliseconds
-- KEYS[3]  recs:job:process_user_actions  hash    last_run, unix seconds; TTL
--          recs:batch:{id}                list    the elements of a batch in flight, until acknowledged
-- ARGV     new batch id, most elements, most bytes, lease in milliseconds, TTL of KEYS[3] in seconds
-- Answers  {batch id or "", elements left in KEYS[1], element, element, ...}
-- A batch whose lease has ended is claimed again under its first id, so that the ids made from it stay the same.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[3], 'last_run', clock[1])
redis.call('EXPIRE', KEYS[3], ARGV[5])

local function answer(id, elements)
  table.insert(elements, 1, redis.call('LLEN', KEYS[1]))
  table.insert(elements, 1, id)
  return elements
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do
  local elements = redis.call('LRANGE', 'recs:batch:' .. id, 0, -1)
  if #elements > 0 then
    redis.call('ZADD', KEYS[2], now + ARGV[4], id)
    return answer(id, elements)
  end
  redis.call('ZREM', KEYS[2], id)
end

-- From the right end: the oldest first where the app uses LPUSH. The order changes nothing but latency.
local elements = redis.call('LRANGE', KEYS[1], -ARGV[2], -1)
if #elements == 0 then
  return answer('', {})
end
local taken, bytes = 0, 0
for i = #elements, 1, -1 do
  bytes = bytes + #elements[i]
  if taken > 0 and bytes > tonumber(ARGV[3]) then
    break
  end
  taken = taken + 1
end
local batch = {}
for i = #elements, #elements - taken + 1, -1 do
  batch[#batch + 1] = elements[i]
end
for first = 1, #batch, 5000 do -- unpack has a limit
  redis.call('RPUSH', 'recs:batch:' .. ARGV[1], unpack(batch, first, math.min(first + 4999, #batch)))
end
redis.call('LTRIM', KEYS[1], 0, -taken - 1)
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
return answer(ARGV[1], batch)
