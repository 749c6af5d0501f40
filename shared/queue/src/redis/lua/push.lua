-- KEYS ready jobs bell; ARGV id payload, id payload, ...
-- Queues what is not known under its id; the score is the time of arrival in microseconds.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local queued = 0
for i = 1, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('ZADD', KEYS[1], now + i, ARGV[i])
    queued = queued + 1
  end
end
-- One stroke per job wakes one worker each; 64 is more than the workers that wait at any time.
-- Strokes nobody waits for vanish, so that no key is left behind.
for _ = 1, math.min(queued, 64) do redis.call('RPUSH', KEYS[3], 1) end
if queued > 0 then
  redis.call('LTRIM', KEYS[3], -64, -1)
  redis.call('PEXPIRE', KEYS[3], 2000)
end
return queued
