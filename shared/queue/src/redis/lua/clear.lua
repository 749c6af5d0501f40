-- KEYS ready jobs deadlines owners bell; ARGV id, id, ...
-- Forgets jobs whoever holds them.
for _, id in ipairs(ARGV) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
  redis.call('HDEL', KEYS[4], id)
end
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('DEL', KEYS[5]) end
return 1
