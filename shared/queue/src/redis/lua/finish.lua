-- KEYS jobs deadlines owners dead; ARGV id fence letter letters_max letter_seconds
-- Forgets a job of the caller's; a letter that is not empty is kept.
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
if ARGV[3] ~= '' then
  redis.call('LPUSH', KEYS[4], ARGV[3])
  redis.call('LTRIM', KEYS[4], 0, ARGV[4] - 1)
  redis.call('EXPIRE', KEYS[4], ARGV[5])
end
return 1
