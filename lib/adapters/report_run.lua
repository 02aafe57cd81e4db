-- Keeps what a run of a job did, and counts it.
-- KEYS[1]  recs:job:{name}     hash  last_run, unix seconds; TTL
-- KEYS[2]  recs:runs:{name}    list  the latest runs, JSON, newest first; TTL
-- KEYS[3]  recs:counts:{hour}  hash  what happened in this hour: name -> number; TTL
-- KEYS[4]  recs:totals         hash  what happened since counting began: name -> number; TTL
-- ARGV     last_run, the run (JSON), most runs, TTL of KEYS[1], [2] and [4], TTL of KEYS[3],
--          name of a maximum, its number, then of each count: name, number

redis.call('HSET', KEYS[1], 'last_run', ARGV[1])
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], 0, ARGV[3] - 1)
for i = 8, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i + 1])
  redis.call('HINCRBY', KEYS[4], ARGV[i], ARGV[i + 1])
end
if tonumber(redis.call('HGET', KEYS[3], ARGV[6]) or -1) < tonumber(ARGV[7]) then
  redis.call('HSET', KEYS[3], ARGV[6], ARGV[7])
end
redis.call('EXPIRE', KEYS[3], ARGV[5])
for _, key in ipairs({KEYS[1], KEYS[2], KEYS[4]}) do
  redis.call('EXPIRE', key, ARGV[4])
end
