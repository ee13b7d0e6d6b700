-- Put before each of the other scripts: looks at the lease key without fetching more than 512 bytes of it,
-- whatever its type and size. KEYS[1] is the lease key.
--   kind   the key's type, 'none' when there is no key
--   owner  the claim it was taken for: what stands before a space at a claim's length; else nil
--   seen   the answer "not mine": {0} or {0, type, length, remaining ms, first 512 bytes}
local key = KEYS[1]
local kind = redis.call('TYPE', key)['ok']
local owner = nil
local seen = {0}
if kind ~= 'none' then
  local length, head = 0, ''
  if kind == 'string' then
    length = redis.call('STRLEN', key)
    head = redis.call('GETRANGE', key, 0, 511)
    if head:sub(37, 37) == ' ' then
      owner = head:sub(1, 36)
    end
  end
  seen = {0, kind, length, redis.call('PTTL', key), head}
end
