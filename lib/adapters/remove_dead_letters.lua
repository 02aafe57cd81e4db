-- Takes dead letters away, each once however often this runs, and pushes elements in their place.
-- KEYS[1]  recs:dead_letters        list    newest first
-- KEYS[2]  recs:dead_letters:bytes  string  how long the letters of KEYS[1] are together
-- KEYS[3]  pending_user_actions     list    where the elements go
-- ARGV     1 to put back, 0 to drop; dead letter (JSON), its element, dead letter, its element, ...
-- Answers  how many were there

local removed = 0
for i = 2, #ARGV, 2 do
  if redis.call('LREM', KEYS[1], -1, ARGV[i]) == 1 then
    removed = removed + 1
    redis.call('DECRBY', KEYS[2], #ARGV[i])
    if ARGV[1] == '1' then
      redis.call('LPUSH', KEYS[3], ARGV[i + 1])
    end
  end
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('DEL', KEYS[2])
end
return removed
