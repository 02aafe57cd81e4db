-- Puts a batch that was set aside back, as if it had never been tried, or drops it.
-- KEYS[1]  recs:set_aside      zset  batch id -> when it was set aside
-- KEYS[2]  recs:leases         zset  batch id -> end of its lease
-- KEYS[3]  recs:batch:{id}     list  the batch
-- KEYS[4]  recs:progress:{id}  hash  tries, error, kept
-- ARGV     batch id, 1 to put back or 0 to drop, TTL of KEYS[4] in seconds
-- Answers  1, or 0 where no batch of that id is set aside

if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 0
end
if ARGV[2] == '1' then
  redis.call('HSET', KEYS[4], 'tries', 0)
  redis.call('EXPIRE', KEYS[4], ARGV[3])
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
else
  redis.call('DEL', KEYS[3], KEYS[4])
end
return 1
