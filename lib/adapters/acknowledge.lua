-- Ends a batch: removes it and keeps its dead letters, once, whoever else holds it too.
-- KEYS[1]  recs:leases        zset    batch id -> end of its lease
-- KEYS[2]  recs:batch:{id}    list    the batch
-- KEYS[3]  recs:dead_letters  list    newest first, bounded
-- ARGV     batch id, most dead letters to keep, dead letter (JSON), dead letter, ...
-- Answers  1 where the batch was still there, else 0

redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('DEL', KEYS[2]) == 0 then
  return 0
end
for i = 3, #ARGV do
  redis.call('LPUSH', KEYS[3], ARGV[i])
end
if #ARGV > 2 then
  redis.call('LTRIM', KEYS[3], 0, ARGV[2] - 1)
end
return 1
