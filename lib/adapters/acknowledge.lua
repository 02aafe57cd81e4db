-- Keeps dead letters of a batch, each once whoever else holds the batch too, and with the last of them ends the batch.
-- KEYS[1]  recs:leases              zset    batch id -> end of its lease
-- KEYS[2]  recs:batch:{id}          list    the batch
-- KEYS[3]  recs:dead_letters        list    newest first, bounded in number and in bytes
-- KEYS[4]  recs:progress:{id}       hash    kept: how many of its dead letters are kept so far; TTL
-- KEYS[5]  recs:set_aside           zset    batch id -> when; a slow drain may finish what was set aside meanwhile
-- KEYS[6]  recs:dead_letters:bytes  string  how long the letters of KEYS[3] are together
-- ARGV     batch id, most dead letters to keep, most bytes of them, how many the batch has, the position of the
--          first one here, dead letter (JSON), dead letter, ...

if redis.call('EXISTS', KEYS[2]) == 0 then
  return
end
local kept = tonumber(redis.call('HGET', KEYS[4], 'kept') or 0)
local bytes = tonumber(redis.call('GET', KEYS[6]) or 0)
for i = 6 + math.max(0, kept - ARGV[5]), #ARGV do
  redis.call('LPUSH', KEYS[3], ARGV[i])
  bytes = bytes + #ARGV[i]
end
local count = redis.call('LLEN', KEYS[3])
while count > 0 and (count > tonumber(ARGV[2]) or bytes > tonumber(ARGV[3])) do
  bytes = bytes - #redis.call('RPOP', KEYS[3])
  count = count - 1
end
if count > 0 then
  redis.call('SET', KEYS[6], bytes)
else
  redis.call('DEL', KEYS[6])
end
kept = math.max(kept, ARGV[5] + #ARGV - 5)
if kept < tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[4], 'kept', kept)
else
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[5], ARGV[1])
  redis.call('DEL', KEYS[2], KEYS[4])
end
