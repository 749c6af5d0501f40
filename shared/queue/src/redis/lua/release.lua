-- KEYS ready deadlines owners bell; ARGV id fence
-- Puts a job of the caller's back at the head.
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[1], 0, ARGV[1])
redis.call('RPUSH', KEYS[4], 1)
redis.call('PEXPIRE', KEYS[4], 2000)
return 1
