-- KEYS bell
-- A stroke of the bell: the smallest write that a full, read-only or failing server refuses.
redis.call('RPUSH', KEYS[1], 1)
redis.call('LTRIM', KEYS[1], -64, -1)
redis.call('PEXPIRE', KEYS[1], 2000)
return 1
