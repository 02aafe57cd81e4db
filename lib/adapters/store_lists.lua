-- Stores users' lists, each only if its user has not acted since it was computed.
-- KEYS     for each user: recommend:user:{user_id} string, recs:generation:{user_id} string
-- ARGV[1]  TTL in seconds; then for each user: the generation before computing ("" for none), the list (JSON)
-- Answers  how many were stored

local stored = 0
for i = 1, #KEYS, 2 do
  if (redis.call('GET', KEYS[i + 1]) or '') == ARGV[i + 1] then
    redis.call('SET', KEYS[i], ARGV[i + 2], 'EX', ARGV[1])
    stored = stored + 1
  end
end
return stored
