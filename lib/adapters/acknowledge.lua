-- Keeps dead letters of a batch, each once whoever else holds the batch too, and with the last of them ends the batch.
-- KEYS[1]  recs:leases        zset    batch id -> end of its lease
-- KEYS[2]  recs:batch:{id}    list    the batch
-- KEYS[3]  recs:dead_letters  list    newest first, bounded
-- KEYS[4]  recs:kept:{id}     string  how many of its dead letters are kept so far; TTL
-- ARGV     batch id, most dead letters to keep, how many the batch has, the position of the first one here,
--          TTL of KEYS[4] in seconds, dead letter (JSON), dead letter, ...

if redis.call('EXISTS', KEYS[2]) == 0 then
  return
end
local kept = tonumber(redis.call('GET', KEYS[4]) or 0)
for i = 6 + math.max(0, kept - ARGV[4]), #ARGV do
  redis.call('LPUSH', KEYS[3], ARGV[i])
end
redis.call('LTRIM', KEYS[3], 0, ARGV[2] - 1)
kept = math.max(kept, ARGV[4] + #ARGV - 5)
if kept < tonumber(ARGV[3]) then
  redis.call('SET', KEYS[4], kept, 'EX', ARGV[5])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('DEL', KEYS[2], KEYS[4])
end
