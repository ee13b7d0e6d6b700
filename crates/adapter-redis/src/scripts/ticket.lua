-- Precedes each of the other scripts: reads at most 512 bytes of the lease key,
-- whatever its type and size. KEYS[1] is the lease key.
--   kind   the key's type, 'none' if there is no key
--   owner  the claim of the ticket, at the end of a value of our form, 'instance claim'; nil for any other value
--   seen   the answer of a ticket that is not mine: {0} or {0, type, length, remaining ms, first 512 bytes}
local key = KEYS[1]
local kind = redis.call('TYPE', key)['ok']
local owner = nil
local seen = {0}
if kind ~= 'none' then
  local length, head = 0, ''
  if kind == 'string' then
    length = redis.call('STRLEN', key)
    head = redis.call('GETRANGE', key, 0, 511)
    -- An instance has 1 to 128 characters, a claim 36; a longer value is not ours, however its head ends.
    local id, claim = head:match('^([A-Za-z0-9._:-]+) ([0-9a-f-]+)$')
    if id and #id <= 128 and #claim == 36 and length == #head then
      owner = claim
    end
  end
  seen = {0, kind, length, redis.call('PTTL', key), head}
end
