-- Deletes users' lists and gives the users a new generation.
-- recommend:user:{user_id}    string  the user's list
-- recs:generation:{user_id}   string  TTL
-- ARGV     the new generation, its TTL in seconds, then each user's id
-- Names no keys, which the ids make twice as long. Deletes many at once: some plans charge for each command in here.

local lists = {}
for i = 3, #ARGV do
  lists[#lists + 1] = 'recommend:user:' .. ARGV[i]
  redis.call('SET', 'recs:generation:' .. ARGV[i], ARGV[1], 'EX', ARGV[2])
end
for first = 1, #lists, 5000 do -- unpack has a limit
  redis.call('DEL', unpack(lists, first, math.min(first + 4999, #lists)))
end
