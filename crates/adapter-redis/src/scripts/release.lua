-- ARGV: my claim, the channel of hints, my nonce.
-- A hint that must not be published (ACL) does not turn a successful release into an error; the answer reports it.
local deleted = 0
if owner == ARGV[1] then
  deleted = redis.call('DEL', key)
end
local sent = redis.pcall('PUBLISH', ARGV[2], ARGV[3])
return {deleted, type(sent) == 'table' and sent.err or ''}
