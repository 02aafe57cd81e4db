-- The test message of the configuration check. One at a time: who finds the key reads it and sends none.
-- KEYS: 1 recs:ping    hash: nonce, message (QStash's id), sent and arrived (unix milliseconds, of one clock); TTL
-- ARGV: 1 begin | note | read   2 the nonce   3 TTL in seconds (begin), or the field to note, "message" or "arrived"
--       4 the message's id
-- Answers, of begin, whether it was begun; of note, whether the nonce is that of the message; of read, the fields.

if ARGV[1] == 'read' then
  return redis.call('HGETALL', KEYS[1])
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if ARGV[1] == 'begin' then
  if redis.call('EXISTS', KEYS[1]) == 1 then
    return 0
  end
  redis.call('HSET', KEYS[1], 'nonce', ARGV[2], 'sent', string.format('%d', now))
  redis.call('EXPIRE', KEYS[1], ARGV[3])
  return 1
end

if redis.call('HGET', KEYS[1], 'nonce') ~= ARGV[2] then
  return 0
end
local value = ARGV[3] == 'arrived' and string.format('%d', now) or ARGV[4]
redis.call('HSET', KEYS[1], ARGV[3], value)
return 1
