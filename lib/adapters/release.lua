-- Gives a batch back: its lease ends now. A batch that is done, or set aside, stays so.
-- KEYS[1]  recs:leases         zset  batch id -> end of its lease
-- KEYS[2]  recs:progress:{id}  hash  tries, error; TTL
-- ARGV     batch id, why it failed ("" where it was not the batch's fault: then this try doesn't count)

if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return
end
redis.call('ZADD', KEYS[1], 0, ARGV[1])
if ARGV[2] == '' then
  redis.call('HINCRBY', KEYS[2], 'tries', -1)
else
  redis.call('HSET', KEYS[2], 'error', ARGV[2])
end
