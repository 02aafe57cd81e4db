-- Keeps what a run of a job did, and counts it.
-- KEYS[1]  recs:job:{name}     hash  last_run, unix seconds; TTL
-- KEYS[2]  recs:runs:{name}    list  the latest runs, JSON, newest first; TTL
-- KEYS[3]  recs:counts:{hour}  hash  what happened in this hour: name -> number; TTL
-- KEYS[4]  recs:totals         hash  what happened since counting began: name -> number; TTL
-- ARGV     last_run, the run (JSON; empty where it is only counted), most runs, TTL of KEYS[1], [2] and [4], TTL of KEYS[3], name of the longest run,
--          its number, then of each count: name, number. The first count is in every run of this job
-- Reads and writes all counts of a hash at once: some plans charge for each command in here.

local names = {}
for i = 8, #ARGV, 2 do
  names[#names + 1] = ARGV[i]
end

local function add(key, fields)
  local known = redis.call('HMGET', key, unpack(names))
  for i, name in ipairs(names) do
    fields[#fields + 1] = name
    fields[#fields + 1] = (known[i] or 0) + ARGV[7 + 2 * i]
  end
  redis.call('HSET', key, unpack(fields))
  return not known[1]
end

if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'last_run', ARGV[1])
  redis.call('LPUSH', KEYS[2], ARGV[2])
  redis.call('LTRIM', KEYS[2], 0, ARGV[3] - 1)
end
local longest = math.max(redis.call('HGET', KEYS[3], ARGV[6]) or 0, ARGV[7])
local is_first_of_the_hour = add(KEYS[3], {ARGV[6], longest})
add(KEYS[4], {})
if is_first_of_the_hour then
  redis.call('EXPIRE', KEYS[3], ARGV[5])
  for _, key in ipairs({KEYS[1], KEYS[2], KEYS[4]}) do
    redis.call('EXPIRE', key, ARGV[4])
  end
end
