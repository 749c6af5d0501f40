-- KEYS deadlines owners; ARGV visibility_ms, id fence, id fence, ...
-- Moves deadlines on; returns the positions (from 0) of those that are no longer the caller's.
local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
local lost = {}
for i = 2, #ARGV, 2 do
  if redis.call('HGET', KEYS[2], ARGV[i]) == ARGV[i + 1] then
    redis.call('ZADD', KEYS[1], deadline, ARGV[i])
  else
    lost[#lost + 1] = i / 2 - 1
  end
end
return lost
