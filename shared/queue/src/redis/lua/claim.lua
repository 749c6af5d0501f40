-- KEYS ready jobs deadlines owners bell; ARGV fence visibility_ms expired_batch
-- Returns expired claims to the head, then takes the first ready job: {id, payload}, or nothing. Of a payload that
-- is far too long, only the beginning.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expired = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, ARGV[3])
for i, id in ipairs(expired) do
  redis.call('ZREM', KEYS[3], id)
  redis.call('HDEL', KEYS[4], id)
  redis.call('ZADD', KEYS[1], i, id)
  if i > 1 and i <= 64 then redis.call('RPUSH', KEYS[5], 1) end
end
if #expired > 1 then redis.call('PEXPIRE', KEYS[5], 2000) end
for _ = 1, ARGV[3] do
  local first = redis.call('ZPOPMIN', KEYS[1])
  if #first == 0 then
    redis.call('DEL', KEYS[5])
    return {}
  end
  local id = first[1]
  local payload = redis.call('HGET', KEYS[2], id)
  -- An id alone, of a job that is done: somebody put it back by hand.
  if payload then
    redis.call('ZADD', KEYS[3], now + ARGV[2], id)
    redis.call('HSET', KEYS[4], id, ARGV[1])
    return {id, string.sub(payload, 1, 1024)}
  end
end
return {}
