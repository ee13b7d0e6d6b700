-- ARGV: my claim, the channel of hints, my nonce.
-- A hint that may not be published (ACL) must not turn a release that happened into an error: it is told.
local deleted = 0
if owner == ARGV[1] then
  deleted = redis.call('DEL', key)
end
local sent = redis.pcall('PUBLISH', ARGV[2], ARGV[3])
return {deleted, type(sent) == 'table' and sent.err or ''}
