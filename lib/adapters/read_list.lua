-- Reads a user's list, and counts by whether there was one, with the reads that were not counted yet.
-- KEYS[1]  recommend:user:{user_id}   string   the list
-- KEYS[2]  recs:generation:{user_id}  string   the generation that a new list belongs to
-- KEYS[3]  recs:counts:{hour}         hash     cache_hits, cache_misses; TTL
-- KEYS[4]  recs:totals                hash     the same; TTL
-- ARGV     TTL of KEYS[3], TTL of KEYS[4], earlier reads that found a list, earlier reads that found none
-- Answers  {list or false, generation or false}
-- Called so that an error is an answer: a Redis that takes no writes still gives what is in it.

local found = redis.call('MGET', KEYS[1], KEYS[2])
local counts = {cache_hits = tonumber(ARGV[3]), cache_misses = tonumber(ARGV[4])}
local name = found[1] and 'cache_hits' or 'cache_misses'
counts[name] = counts[name] + 1
for i = 1, 2 do
  for field, count in pairs(counts) do
    if count > 0 and redis.pcall('HINCRBY', KEYS[i + 2], field, count) == count then
      redis.pcall('EXPIRE', KEYS[i + 2], ARGV[i])
    end
  end
end
return found
