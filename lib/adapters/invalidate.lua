-- Deletes users' lists and bumps their generations.
-- KEYS     for each user: recommend:user:{user_id} string, recs:generation:{user_id} counter
-- ARGV[1]  TTL of a generation in seconds

for i = 1, #KEYS, 2 do
  redis.call('DEL', KEYS[i])
  redis.call('INCR', KEYS[i + 1])
  redis.call('EXPIRE', KEYS[i + 1], ARGV[1])
end
