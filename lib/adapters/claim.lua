-- Claims one batch of actions, or answers that there is none.
-- KEYS[1]  pending_user_actions           list    what the app pushed
-- KEYS[2]  recs:leases                    zset    batch id -> end of its lease, unix milliseconds
-- KEYS[3]  recs:job:process_user_actions  hash    last_run, unix seconds; TTL
-- KEYS[4]  recs:set_aside                 zset    batch id -> when it was set aside, unix seconds
--          recs:batch:{id}                list    the elements of a batch in flight, until acknowledged
--          recs:progress:{id}             hash    tries: how often it was claimed; error, kept; TTL
-- ARGV     new batch id, most elements, most bytes, lease in milliseconds, TTL of KEYS[3], TTL of a progress,
--          most tries of a batch, most batches set aside
-- Answers  {batch id or "", tries, elements left in KEYS[1], element, element, ...}
-- A batch whose lease has ended is claimed again under its first id, so that the ids made from it stay the same.
-- One that was tried too often is set aside for a person to look at, so that it keeps nothing else waiting.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[3], 'last_run', clock[1])
redis.call('EXPIRE', KEYS[3], ARGV[5])

local function answer(id, tries, elements)
  table.insert(elements, 1, redis.call('LLEN', KEYS[1]))
  table.insert(elements, 1, tries)
  table.insert(elements, 1, id)
  return elements
end

local function take(id)
  redis.call('ZADD', KEYS[2], now + ARGV[4], id)
  redis.call('EXPIRE', 'recs:progress:' .. id, ARGV[6])
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do
  local elements = redis.call('LRANGE', 'recs:batch:' .. id, 0, -1)
  local tries = redis.call('HINCRBY', 'recs:progress:' .. id, 'tries', 1)
  if #elements == 0 then
    redis.call('ZREM', KEYS[2], id)
    redis.call('DEL', 'recs:progress:' .. id)
  elseif tries > tonumber(ARGV[7]) and redis.call('ZCARD', KEYS[4]) < tonumber(ARGV[8]) then
    redis.call('ZREM', KEYS[2], id)
    redis.call('ZADD', KEYS[4], clock[1], id)
    redis.call('HINCRBY', 'recs:progress:' .. id, 'tries', -1) -- this was none
    redis.call('PERSIST', 'recs:progress:' .. id)
  else
    take(id)
    return answer(id, tries, elements)
  end
end

-- From the right end: the oldest first where the app uses LPUSH. The order changes nothing but latency.
local elements = redis.call('LRANGE', KEYS[1], -ARGV[2], -1)
if #elements == 0 then
  return {'', 0, 0}
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
redis.call('HSET', 'recs:progress:' .. ARGV[1], 'tries', 1)
take(ARGV[1])
return answer(ARGV[1], 1, batch)
